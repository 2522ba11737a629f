"""`lr_find`: a learning rate that trains, two files, and nothing else changed."""

import csv
import os
import re
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from run_command import ROOT, Command, run

from mm_lightning.cli.application import Application, main
from mm_lightning.commands.lr_find import run_range_test

MLP = ("--config", str(ROOT / "configs/mlp.yaml"))
PNG = b"\x89PNG"


def table(path="lr_find.csv"):
    """Learning rates, losses and smoothed losses."""
    with Path(path).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["lr", "loss", "smoothed_loss"]
    return np.array(rows[1:], float).T


def rates_of(steps):
    """Exponents -3 to 0 in equal distances, without the second of steps + 1, as Lightning's Tuner has them."""
    return 10 ** (-3 + 3 * np.r_[0, 2 : steps + 1] / steps)


def names(folder="."):
    return sorted(path.name for path in Path(folder).iterdir())


def lr_find(words, *options):
    main(["lr_find", "--data.path", str(words), *MLP, *options])


@pytest.mark.parametrize("seed", [0, 42, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))])
def test_the_lectures_network_gets_the_lectures_rate(tmp_path, monkeypatch, capsys, seed):
    """Catches a suggestion that depends on the noise of the batches: the lecture finds 0.1 by eye."""
    monkeypatch.chdir(tmp_path)
    lr_find("data/names.txt", "--seed_everything", str(seed))
    out = capsys.readouterr().out.splitlines()
    rate = float(out[0].removeprefix("suggested learning rate: "))
    assert 0.03 < rate < 0.5
    assert out[1:] == [
        f"use it with fit:  --model.optimizer.init_args.lr {rate:.2g}",
        "picture: lr_find.png, numbers: lr_find.csv",
    ]
    rates, losses, smoothed = table()
    assert rates == pytest.approx(rates_of(1000), rel=1e-5)
    assert losses[:20] == pytest.approx(3.3, abs=0.2)
    assert smoothed.min() == pytest.approx(2.6, abs=0.1)
    assert Path("lr_find.png").read_bytes().startswith(PNG)
    assert names() == ["lr_find.csv", "lr_find.png"]


SGD = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1", "--model.optimizer.momentum", "0.5")
ONE_CYCLE = (
    *("--model.lr_scheduler", "torch.optim.lr_scheduler.OneCycleLR"),
    *("--model.lr_scheduler.max_lr", "0.3", "--model.lr_scheduler.total_steps", "50"),
)
SHORT = ("--num_steps", "100")


def test_the_schedule_is_left_out(words, capsys, caplog):
    """Catches a schedule that changes rate or momentum, and an option that the schedule would overrule."""
    lr_find(words, *SGD, "--model.lr_scheduler", "null", *SHORT)
    plain = table()
    assert "use it with fit:  --model.optimizer.init_args.lr" in capsys.readouterr().out
    lr_find(words, *SGD, *ONE_CYCLE, *SHORT)
    assert np.array_equal(plain, table())
    assert "use it with fit:  --model.lr_scheduler.init_args.max_lr" in capsys.readouterr().out
    assert "OneCycleLR overrules the optimiser's lr" in caplog.text


@pytest.mark.parametrize("schedule", [(), (*SGD, *ONE_CYCLE)], ids=["step", "one cycle"])
def test_fit_takes_the_option_as_it_is_printed(words, capsys, schedule):
    """Catches an option that fit does not know, or that changes nothing."""
    lr_find(words, *schedule, *SHORT)
    flag, rate = re.search(r"use it with fit:  (\S+) (\S+)", capsys.readouterr().out).groups()
    main(["fit", "--data.path", str(words), *MLP, *schedule, flag, rate, "--trainer.max_steps", "3"])
    saved = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    group = saved["optimizer_states"][0]["param_groups"][0]
    assert group["max_lr" if schedule else "initial_lr"] == float(rate)


CASES = {
    "words": ("--model.network", "mm_lightning.networks.GRU", "--model.optimizer", "torch.optim.AdamW"),
    "bf16": ("--trainer.precision", "bf16-mixed", "--trainer.gradient_clip_val", "1"),
    "repeated looks": (
        *("--model.optimizer", "torch.optim.LBFGS", "--model.optimizer.max_iter", "3"),
        *("--model.lr_scheduler", "null"),
    ),
    "accumulated": ("--trainer.steps_per_execution", "1", "--trainer.accumulate_grad_batches", "2"),
    "short": ("--trainer.max_epochs", "1", "--trainer.max_time", "00:00:00:00"),
    "logged": ("--trainer.logger", "true", "--trainer.log_every_n_steps", "1", "--trainer.enable_progress_bar", "true"),
    "validated": ("--trainer.val_check_interval", "3"),
    "silent": ("--trainer.enable_progress_bar", "false"),
}


@pytest.mark.parametrize("case", CASES)
def test_any_settings_of_a_run_can_be_tested(words, monkeypatch, capsys, case):
    """Catches a limit, interval or logger of the run that stops the test, a step that counts twice, and a lost bar."""
    monkeypatch.setattr(
        "mm_lightning.training.module.LanguageModel.validation_step", lambda *_: pytest.fail("validated")
    )
    lr_find(words, *CASES[case], *SHORT)
    rates, losses, _ = table()
    assert rates == pytest.approx(rates_of(100)[: len(rates)], rel=1e-5)
    assert len(rates) == 100 or case == "repeated looks"  # which diverges early
    assert np.isfinite(losses).all()
    assert names() == ["lr_find.csv", "lr_find.png", "words.txt"]
    shown = capsys.readouterr()
    assert ("range test" in shown.err) == (case != "silent")
    assert [line.partition(":")[0] for line in shown.out.splitlines()] == [
        "suggested learning rate",
        "use it with fit",
        "picture",
    ]


def test_a_test_moves_nothing(words):
    """Catches weights, running statistics, random state, optimiser settings or data that a test changes."""
    network = ("--model.network.class_path", "dropout_mlp.DropoutMLP")
    cli = Application(["--data.path", str(words), *network, *SGD, *ONE_CYCLE], run=False)
    before = {key: value.clone() for key, value in cli.model.state_dict().items()}
    random_state, schedule = torch.get_rng_state(), cli.model.optimization.lr_scheduler
    trainer, data = dict(vars(cli.trainer)), dict(vars(cli.datamodule))
    run_range_test(cli.trainer, cli.model, cli.datamodule, (-3, 0), 100)
    after = cli.model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert cli.model.optimization.lr_scheduler is schedule is not None
    assert vars(cli.datamodule) == data
    assert vars(cli.trainer) == trainer
    assert cli.model.network.training
    assert all(p.grad is None for p in cli.model.parameters())
    assert names() == ["words.txt"]


def test_a_test_ends_where_the_loss_diverges(words, capsys):
    """Catches an error, and losses that are not finite, where rates are too high to train with."""
    lr_find(words, "--max_exponent", "30", "--num_steps", "400", "--output", "far.png")
    rates, losses, smoothed = table("far.csv")
    assert 20 < len(rates) < 100
    assert np.isfinite(losses).all()
    assert np.isfinite(smoothed).all()
    assert 0.01 < float(capsys.readouterr().out.split()[3]) < 1
    assert Path("far.png").read_bytes().startswith(PNG)


def test_a_test_can_begin_with_a_checkpoint(words):
    """Catches a checkpoint that is not used, given on the command line or as `init_from` of a config."""
    fit = ("--data.path", str(words), *MLP, "--model.optimizer.lr", "0.3", "--trainer.max_steps", "200")
    main(["fit", *fit])
    main(["fit", "--init_from", "last", "--trainer.max_steps", "1"])
    listed = sorted(Path("lightning_logs").rglob("*"))
    config = "lightning_logs/version_1/config.yaml"
    for start in (["--ckpt_path", "lightning_logs/version_0/checkpoints/last.ckpt"], ["--config", config]):
        main(["lr_find", *start, *SHORT])
        assert table()[1][:10].mean() < 2
    assert sorted(Path("lightning_logs").rglob("*")) == listed


COUNTS = ("--model.network", "mm_lightning.networks.NGram", "--model.optimizer", "null", "--model.lr_scheduler", "null")
REFUSED = [
    (("--min_exponent", "0"), "min_exponent is 0 and max_exponent is 0; the first must be lower"),
    (("--max_exponent", "400"), "max_exponent is 400; give float in [-30, 30]"),
    (("--num_steps", "99"), "num_steps is 99; give int from 100 to"),
    (("--output", "x.pdf"), "output is x.pdf; its name must end in .png"),
    (("--output", "nosuch/x.png"), "output: nosuch/x.png cannot be written: No such file or directory"),
    (("--output", "folder.png"), "output: folder.png is a folder"),
    (COUNTS, "NGram does not learn by gradient and has no learning rate to find"),
    (("--trainer.fast_dev_run", "true"), "trainer.fast_dev_run is set"),
    (("--min_exponent", "20", "--max_exponent", "30"), "the loss grew out of bounds within"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cannot_be_tested_is_refused(words, capsys, options, message):
    """Catches a traceback, minutes spent on a picture that cannot be saved, and incomplete files."""
    Path("folder.png").mkdir()
    with pytest.raises(SystemExit) as end:
        lr_find(words, "--trainer.steps_per_execution", "1", *SHORT, *options)
    assert end.value.code in (1, 2)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert names() == ["folder.png", "words.txt"]


def test_a_list_is_not_replaced_by_the_table(words, capsys):
    """Catches the training items overwritten, as the table has the name of the picture."""
    Path("words.csv").write_text("name\nanna\n")
    with pytest.raises(SystemExit):
        lr_find(words, *SHORT, "--output", "words.png")
    assert "output: words.csv exists and is no table of lr_find" in capsys.readouterr().err.splitlines()[-1]
    assert Path("words.csv").read_text() == "name\nanna\n"
    assert names() == ["words.csv", "words.txt"]


def test_a_config_is_needed(tmp_path):
    """Catches a traceback where no configuration says what to train."""
    result = run("lr_find", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.startswith("error: lr_find needs --config")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_test_leaves_nothing(tmp_path, signum):
    """Catches a checkpoint left behind, a picture of half a test, and exit status 0 for it."""
    command = Command("lr_find", *MLP, "--num_steps", 10**6, cwd=tmp_path)
    while "range test" not in Path(command.stderr).read_text():
        assert command.process.is_alive(), command.wait().stderr
        time.sleep(0.01)
    os.kill(command.process.pid, signum)
    result = command.wait()
    assert result.returncode == {2: 130, 15: 143, 9: -9}[signum]
    assert result.stdout == ""
    assert names(tmp_path) == []
