"""Several steps in one go are the steps one by one: same weights, same curves, same files."""

from contextlib import chdir
from functools import cache
from pathlib import Path

import pytest
import torch
from compare import equal
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mm_lightning.cli.application import main
from mm_lightning.training.block_steps import stepper

STEPS = 60  # two epochs of 26 steps and a part of a third
NETWORK = ("--model.network", "mm_lightning.networks.MLP")
SGD = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "0.1")
NESTEROV = (*SGD, "--model.optimizer.momentum", "0.9", "--model.optimizer.nesterov", "true")
DECAY = ("--model.lr_scheduler", "torch.optim.lr_scheduler.ExponentialLR", "--model.lr_scheduler.gamma", "0.97")
ADAM = ("--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01", "--model.optimizer.amsgrad", "true")
ADAMW = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", "0.01")
ONE_CYCLE = (
    *("--model.lr_scheduler", "torch.optim.lr_scheduler.OneCycleLR"),
    *("--model.lr_scheduler.max_lr", "0.01", "--model.lr_scheduler.total_steps", str(STEPS)),
)
CLIP = ("--trainer.gradient_clip_val", "0.05")
BY_VALUE = (*CLIP, "--trainer.gradient_clip_algorithm", "value")
BF16 = ("--trainer.precision", "bf16-mixed")
NOISY = ("--model.network.batch_norm", "true", "--model.network.dropout", "0.3")


def words_network(name):
    """A small network that reads whole words."""
    return (
        *("--model.network", f"mm_lightning.networks.{name}"),
        *("--model.network.embed_dim", "8", "--model.network.hidden_dim", "8"),
    )


CASES = {
    "sgd": (*NETWORK, *SGD, *DECAY),
    "nesterov": (*NETWORK, *NESTEROV, *DECAY, *CLIP),
    "adam": (*NETWORK, *ADAM),
    "adamw": (*NETWORK, *ADAMW, *ONE_CYCLE, *BY_VALUE),
    "bf16": (*NETWORK, *ADAMW, *BF16, *CLIP),
    "noisy": (*NETWORK, *NOISY, *SGD),
    "gru": (*words_network("GRU"), *ADAMW, *CLIP),
    "lstm": (*words_network("LSTM"), *SGD),
}
EAGER_ONLY = {
    "rmsprop": (*NETWORK, "--model.optimizer", "torch.optim.RMSprop", "--model.optimizer.lr", "0.01"),
    "cycled_momentum": (*NETWORK, *NESTEROV, *ONE_CYCLE),
}


def fit(words, *options, steps=STEPS, at_once=1):
    """The last checkpoint and the curves of a run."""
    main(
        [
            *("fit", "--data.path", str(words), "--data.batch_size", "5", "--trainer.log_every_n_steps", "4"),
            *("--samples.num_samples", "0", "--trainer.enable_model_summary", "false"),
            *("--trainer.max_steps", str(steps)),
            *("--trainer.steps_per_execution", str(at_once), *options),
        ]
    )
    run = max(Path("lightning_logs").iterdir(), key=lambda run: int(run.name.removeprefix("version_")))
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True), curves(run)


def curves(run):
    events = EventAccumulator(str(run))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if tag != "epoch"
    }


@pytest.fixture(scope="module")
def single(words_elsewhere):
    """Runs of the cases step by step; tests only read them, so each is made once."""

    @cache
    def make(case):
        with chdir(words_elsewhere.parent):
            return fit(words_elsewhere, *(CASES | EAGER_ONLY)[case])

    return make


def distance(one, other):
    """Largest difference of two checkpoints' weights."""
    pairs = [(one["state_dict"][key], other["state_dict"][key]) for key in one["state_dict"]]
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@pytest.mark.parametrize("case", [*CASES, *EAGER_ONLY])
def test_blocks_are_single_steps_to_the_bit(words, single, case):
    """Catches a stale gradient, cache, schedule or random state, gradients not clipped, a block past an epoch's end."""
    steps, single_curves = single(case)
    at_once = 7 if case == "sgd" else 64  # 64: longer than an epoch
    blocks, block_curves = fit(words, *(CASES | EAGER_ONLY)[case], at_once=at_once)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "epoch", "train_loss"):
        assert equal(steps[key], blocks[key]), key
    assert steps["data"] == blocks["data"]
    assert steps["callbacks"]["random_state"].keys() == blocks["callbacks"]["random_state"].keys()
    assert equal(steps["callbacks"]["random_state"], blocks["callbacks"]["random_state"])
    assert single_curves == block_curves
    assert [step for step, _ in block_curves["train/loss"]] == list(range(4, STEPS + 1, 4))


INTERVALS = {
    "checks": ("--trainer.val_check_interval", "6"),
    "checks across epochs": ("--trainer.val_check_interval", "30", "--trainer.check_val_every_n_epoch", "null"),
    "share": ("--trainer.val_check_interval", "0.4"),
    "short epochs": ("--trainer.limit_train_batches", "9"),
    "epochs": ("--trainer.max_epochs", "2", "--trainer.max_steps", "-1"),
    "saves": ("--last.every_n_train_steps", "5"),
}


@pytest.mark.parametrize("interval", INTERVALS)
def test_intervals_count_steps(words, interval):
    """Catches a validation, an epoch or an end that falls into a block, and is late or left out."""
    options = (*NETWORK, *SGD, *INTERVALS[interval])
    single, single_curves = fit(words, *options)
    blocks, block_curves = fit(words, *options, at_once=16)
    assert single_curves == block_curves
    assert equal(single["state_dict"], blocks["state_dict"])
    assert single["loops"]["fit_loop"]["epoch_progress"] == blocks["loops"]["fit_loop"]["epoch_progress"]
    progress = "epoch_loop.batch_progress"
    assert single["loops"]["fit_loop"][progress] == blocks["loops"]["fit_loop"][progress]


def test_checkpoints_are_saved_within_a_long_block(words, monkeypatch):
    """Catches `last.every_n_train_steps` that waits for the end of a block."""
    saved = []
    monkeypatch.setattr(
        "lightning.pytorch.Trainer.save_checkpoint", lambda self, *_, **__: saved.append(self.global_step)
    )
    with pytest.raises(SystemExit):  # nothing was written, so no run is left
        fit(words, *NETWORK, *SGD, "--last.every_n_train_steps", "10", steps=22, at_once=64)
    assert sorted(set(saved)) == [10, 20, 22]


@pytest.mark.parametrize("stop", [1, 10, 26, 34])
@pytest.mark.parametrize("change", [(16, 16), (1, 16), (16, 1)])
def test_a_run_goes_on_from_within_a_block(words, single, stop, change):
    """Catches blocks that a resumed run cuts otherwise, and counters that only one way of stepping keeps."""
    before, after = change
    whole, whole_curves = single("nesterov")
    fit(words, *CASES["nesterov"], steps=stop, at_once=before)
    resumed, resumed_curves = fit(words, "--ckpt_path", "last", *CASES["nesterov"], at_once=after)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "train_loss"):
        assert equal(whole[key], resumed[key]), key
    assert resumed_curves["train/loss"] == whole_curves["train/loss"]


COMPILE = ("--trainer.compile", "true")
SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in CASES if case != "adamw"]


@pytest.mark.parametrize("case", ["adamw", *SLOW])
def test_compiled_steps_are_the_steps_and_go_on_to_the_bit(words, single, case):
    """Catches another update, clip, precision or noise in the compiled loop, and one that hangs on where blocks end."""
    whole, curves = fit(words, *CASES[case], *COMPILE, at_once=16)
    assert whole["compiled_steps"] is True
    assert (
        0 <= distance(single(case)[0], whole) < {"bf16": 1e-2, "noisy": 1e-3}.get(case, 1e-5)
    )  # statistics of 5 examples magnify rounding
    fit(words, *CASES[case], *COMPILE, at_once=16, steps=27)
    resumed, resumed_curves = fit(words, "--ckpt_path", "last", *CASES[case], at_once=16)
    assert resumed["compiled_steps"] is True, "a run forgot that it was compiled"
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "train_loss"):
        assert equal(whole[key], resumed[key]), key
    assert resumed_curves["train/loss"] == curves["train/loss"]


def test_steps_go_on_where_compiling_fails(words, single, monkeypatch):
    """Catches a run lost to a compiler that is broken, and one that goes on without a word."""

    def broken(*_, **__):
        raise RuntimeError("no such header\nand much more")

    steps, _ = single("sgd")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(words.parent / "cache"))  # without the steps of earlier runs
    monkeypatch.setattr("mm_lightning.training.block_steps.compiled_loop.compile_program", broken)
    with pytest.warns(UserWarning, match=r"compiling failed \(no such header\); going on without"):
        blocks, _ = fit(words, *CASES["sgd"], *COMPILE, at_once=16)
    assert equal(steps["state_dict"], blocks["state_dict"])
    assert blocks["compiled_steps"] is False


def test_a_compiled_run_goes_on_where_there_is_no_compiler(words, monkeypatch, caplog):
    """Catches a checkpoint that cannot be resumed on another machine, with an error about a setting nobody gave."""
    fit(words, *CASES["sgd"], at_once=16, steps=27)
    path = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    checkpoint = torch.load(path, weights_only=True)
    torch.save({**checkpoint, "compiled_steps": True}, path)
    monkeypatch.setattr("mm_lightning.training.block_steps.settings.shutil.which", lambda name: None)
    resumed, _ = fit(words, "--ckpt_path", "last", *CASES["sgd"], at_once=16)
    assert resumed["global_step"] == STEPS
    assert "steps are not compiled: there is no C++ compiler" in caplog.text


def test_short_runs_are_not_compiled(words, caplog):
    """Catches a compile that costs more than it saves, and a decision nobody is told of."""
    checkpoint, _ = fit(words, *CASES["sgd"], at_once=16)
    assert checkpoint["compiled_steps"] is False
    assert "steps are not compiled: a run of under" in caplog.text


@pytest.mark.parametrize(
    "steps, size, reason", [(24, 1, None), (24, 200, "a step of"), (8, 1, "a run of under 14 steps")]
)
def test_long_runs_of_small_sequence_networks_are_compiled(words, monkeypatch, caplog, steps, size, reason):
    """Catches a recurrent network that needs a flag to be fast, and a compile that costs more than it saves."""
    compiled = []
    monkeypatch.setattr(stepper.BlockSteps, "_compile", lambda self, *_: compiled.append(self))
    monkeypatch.setattr(stepper, "_BREAK_EVEN_STEPS_PER_POSITION", 2)
    hidden = ("--model.network.hidden_dim", str(8 * size))
    fit(words, *CASES["gru"], *hidden, steps=steps, at_once=8)
    assert len(compiled) == (reason is None)
    assert reason is None or f"steps are not compiled: {reason}" in caplog.text


BLOCKS = "trainer.steps_per_execution is 16"
WAITS = "whose on_before_optimizer_step comes with every single step, and trainer.steps_per_execution is 16"
PLATEAU = (
    "--model.lr_scheduler",
    "lightning.pytorch.cli.ReduceLROnPlateau",
    "--model.lr_scheduler.monitor",
    "val/loss",
)


class GradientWatcher(Callback):
    """Wants to see every single step."""

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        raise AssertionError


class OwnAdam(torch.optim.Adam):
    """May have an update rule of its own."""


REFUSED = [
    (("--trainer.steps_per_execution", "0"), "trainer.steps_per_execution is 0"),
    ((*COMPILE, "--trainer.steps_per_execution", "1"), "trainer.steps_per_execution is 1"),
    (
        ("--trainer.accumulate_grad_batches", "2"),
        "trainer.accumulate_grad_batches is 2 and trainer.steps_per_execution is 16",
    ),
    (("--trainer.callbacks", "test_block_steps.GradientWatcher"), f"trainer.callbacks has GradientWatcher, {WAITS}"),
    (PLATEAU, "model.lr_scheduler is ReduceLROnPlateau"),
    (("--model.optimizer", "torch.optim.LBFGS"), "model.optimizer is LBFGS"),
    (
        (*COMPILE, "--model.optimizer", "test_block_steps.OwnAdam"),
        "trainer.compile is true, but model.optimizer is Own",
    ),
    ((*COMPILE, *EAGER_ONLY["rmsprop"]), "trainer.compile is true, but model.optimizer is RMSprop"),
    ((*COMPILE, *EAGER_ONLY["cycled_momentum"]), "trainer.compile is true, but model.lr_scheduler is OneCycleLR"),
    ((*COMPILE, "--trainer.precision", "64-true"), "trainer.compile is true, but trainer.precision is 64-true"),
    ((*COMPILE, "--trainer.detect_anomaly", "true"), "trainer.compile is true, but trainer.detect_anomaly is true"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_cannot_be_combined_is_refused(words, capsys, options, message):
    """Catches a setting that is ignored, and a message that names one of the two settings only."""
    with pytest.raises(SystemExit):
        main(
            [
                *("fit", "--data.path", str(words), *NETWORK, *SGD, "--trainer.max_steps", "9"),
                *("--trainer.steps_per_execution", "16", *options),
            ]
        )
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert message in error
    assert not list(Path().glob("lightning_logs/*"))
