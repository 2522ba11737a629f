"""Numbers that go wrong: training that diverges, weights that are not finite, and losses that depend on the cut."""

import re
from itertools import product
from pathlib import Path

import pytest
import torch
from run_command import ROOT, run

from mm_lightning.cli.application import main
from mm_lightning.data import batches
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import DIVERGENCE_FACTOR, RunningLoss, score
from mm_lightning.networks import GRU, MLP, Transformer

LAST, BEST = (Path("lightning_logs/version_0/checkpoints") / f"{name}.ckpt" for name in ("last", "best"))
KINDS = {
    "single": (),
    "blocks": ("--trainer.steps_per_execution", "50"),
    "bf16": ("--trainer.precision", "bf16-mixed"),
    "accumulated": ("--trainer.accumulate_grad_batches", "2"),
}
COMPILED = ("--trainer.steps_per_execution", "50", "--trainer.compile", "true")


def fit(*options, network="mm_lightning.networks.MLP", lr="0.1", steps=60):
    main(
        [
            *("fit", "--data.path", "words.txt", "--data.batch_size", "5", "--model.network", network),
            *("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", lr, "--trainer.max_steps", str(steps)),
            *("--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false", *options),
        ]
    )


def failure(capsys, call, *args, **options):
    """The one line of the error with which a call ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        call(*args, **options)
    stderr = capsys.readouterr().err
    assert caught.value.code == 1
    assert stderr.count("error: ") == 1, stderr
    assert "Traceback" not in stderr
    return stderr.splitlines()[-1]


def is_finite(path):
    return all(value.isfinite().all() for value in torch.load(path, weights_only=True)["state_dict"].values())


DIVERGING = [("single", "1e6"), ("blocks", "1e6"), ("bf16", "1e30"), ("accumulated", "1e2")]
MORE_DIVERGING = [case for case in product([*KINDS, "compiled"], ["1e2", "1e6", "1e30"]) if case not in DIVERGING]


@pytest.mark.parametrize(
    ("kind", "lr"), [*DIVERGING, *(pytest.param(*case, marks=pytest.mark.slow) for case in MORE_DIVERGING)]
)
@pytest.mark.usefixtures("words")
def test_diverged_training_is_told(capsys, kind, lr):
    """Catches a loss of 1e7 with status 0, words about a checkpoint where there is none, and a run left without one."""
    line = failure(capsys, fit, *KINDS.get(kind, COMPILED), "--trainer.log_every_n_steps", "1000", lr=lr)
    signs = r"train/loss is \S+, far above \S+ for a uniform guess,|the (weights|logits) are no longer finite.*"
    assert re.search(rf"^error: ({signs}) at step \d+: training diverged", line), line
    assert "training diverged; lower the learning rate" in line
    assert ("last.ckpt" in line) is LAST.exists() is any(Path("lightning_logs").iterdir())
    assert not BEST.exists()


@pytest.mark.usefixtures("words")
def test_the_last_good_checkpoint_is_named(capsys):
    """Catches a remedy without the file, and a good checkpoint that diverged weights replace."""
    fit(steps=30)
    line = failure(capsys, fit, "--ckpt_path", "last", "--last.every_n_train_steps", "10", lr="1e6", steps=60)
    assert line.endswith(f"and go on from {LAST} (step 30)"), line
    assert torch.load(LAST, weights_only=True)["global_step"] == 30


@pytest.mark.usefixtures("words")
def test_a_bad_initialisation_trains_on(capsys):
    """Catches training that is refused because its network starts far above a uniform guess."""
    fit("--trainer.log_every_n_steps", "1", network="bad_numbers.OverconfidentMLP", steps=10)
    assert torch.load(LAST, weights_only=True)["global_step"] == 10
    first = torch.load(LAST, weights_only=True)["train_loss"]["first"]
    assert first > DIVERGENCE_FACTOR * RunningLoss(11).uniform


@pytest.mark.parametrize(
    ("first", "then", "is_divergent"), [(3, 16, False), (3, 17, True), (27, 130, False), (0, 17, True)]
)
def test_a_mean_far_above_the_first_loss_is_divergent(first, then, is_divergent):
    """Catches a limit that forgets the first loss or the uniform guess, 3.30 for 27 ids, also after a resume."""
    losses, resumed = RunningLoss(27), RunningLoss(27)
    losses.add(float(first))
    losses.take_mean()
    resumed.load_state_dict(losses.state_dict(lambda total: total[None]))
    for each in (losses, resumed):
        each.add(torch.tensor(float(then)))
        assert each.is_divergent is is_divergent


POISONED = [(1, "single"), (13, "single"), (19, "blocks"), (26, "blocks"), (39, "bf16"), (20, "accumulated")]


@pytest.mark.parametrize(("step", "kind"), [*POISONED, pytest.param(30, "compiled", marks=pytest.mark.slow)])
@pytest.mark.usefixtures("words")
def test_weights_that_are_not_finite_are_told_and_never_saved(capsys, step, kind):
    """Catches NaN in a checkpoint, at the first step, in mid-epoch, before a save and at an epoch's end."""
    poison = ("--trainer.callbacks+=bad_numbers.Poison", f"--trainer.callbacks.step={step}")
    line = failure(capsys, fit, *poison, *KINDS.get(kind, COMPILED), "--last.every_n_train_steps", "10")
    assert re.search(r"(are no longer finite.*|became nan) at step \d+: training diverged", line), line
    assert step <= int(re.search(r"step (\d+)", line)[1]) <= step + 10
    for path in filter(Path.exists, (LAST, BEST)):
        assert is_finite(path)
        assert torch.load(path, weights_only=True)["global_step"] < step
    assert ("go on from" in line) is LAST.exists()


@pytest.mark.usefixtures("words")
def test_a_val_loss_that_is_nan_is_told(capsys):
    """Catches a best.ckpt of NaN where training itself goes well."""
    line = failure(capsys, fit, network="bad_numbers.NaNInEvalMLP")
    assert line.startswith("error: val/loss is nan at step 26: training diverged; lower the learning rate"), line
    assert not BEST.exists()


COMMANDS = [
    *(("validate",), ("test",), ("predict",), ("predict", "--sampling.suffix", "a")),
    *(("predict", "--sampling.beam", "20"), ("score", "dan"), ("quality", "--num_samples", "20")),
    *(("lr_find", "--num_steps", "100"), ("plot",), ("fit", "--trainer.max_steps", "9")),
]
_SLOW = pytest.mark.slow


@pytest.mark.parametrize("value", ["nan", "1e20", *(pytest.param(value, marks=_SLOW) for value in ("inf", "-1e38"))])
@pytest.mark.usefixtures("words")
def test_a_checkpoint_of_diverged_weights_is_refused_by_every_command(capsys, value):
    """Catches NaN printed with status 0, a hang, a traceback, or a remedy that does not help."""
    fit(steps=5)
    content = torch.load(LAST, weights_only=True)
    next(iter(content["state_dict"].values())).view(-1)[3] = float(value)
    torch.save(content, "bad.ckpt")
    before = sorted(Path().rglob("*"))
    for command in COMMANDS:
        line = failure(capsys, main, [*command, "--ckpt_path", "bad.ckpt"])
        assert line == "error: bad.ckpt has weights that are not finite or far too large: its training diverged"
    assert sorted(Path().rglob("*")) == before


def test_weights_that_are_too_large_are_told(capsys, words):
    """Catches items sampled from logits of 1e20, and a loss of 1e10 shown without a word."""
    fit(steps=5)
    content = torch.load(LAST, weights_only=True)
    for weight in content["state_dict"].values():
        weight.mul_(1e9)
    torch.save(content, "large.ckpt")
    for command in (("predict",), ("predict", "--sampling.beam", "20"), ("quality", "--num_samples", "20")):
        assert "logits are no numbers" in failure(capsys, main, [*command, "--ckpt_path", "large.ckpt"])
    validated = run("validate", "--ckpt_path", "large.ckpt", cwd=words.parent)
    assert "far above 2.40 for a uniform guess" in validated.stderr


def test_counts_may_make_a_loss_infinite(words):
    """Catches an unsmoothed count refused as diverged training."""
    options = ("--data.path", words, "--model.network.smoothing", 0, "--model.network.block_size", 3)
    counted = run("fit", "--config", ROOT / "configs/bigram_counts.yaml", *options, cwd=words.parent)
    assert counted.returncode == 0, counted.stderr
    assert "val/loss is infinite: the model gives some item probability 0" in counted.stderr


def networks(vocab_size):
    torch.manual_seed(0)
    yield MLP(vocab_size, block_size=3, embed_dim=4, hidden_dim=16)
    yield GRU(vocab_size, embed_dim=4, hidden_dim=16)
    yield Transformer(vocab_size, embed_dim=8, num_heads=2, num_layers=2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_do_not_depend_on_the_batch(monkeypatch, dtype):
    """Catches padding, neighbours or an order of items in the score of an item."""
    names = (ROOT / "data/names.txt").read_text(encoding="utf-8").split()[:300]
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    for network in networks(len(vocabulary)):
        network.to(dtype).eval()
        whole = score(network, vocabulary, Items.from_strings(names))
        for limit in (1, 40, 977):
            monkeypatch.setattr(batches, "_MAX_SCORED_POSITIONS", limit)
            cut = score(network, vocabulary, Items.from_strings(names))
            backwards = score(network, vocabulary, Items.from_strings(names[::-1])).flip(0)
            torch.testing.assert_close(cut, whole, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(backwards, whole, rtol=1e-6, atol=1e-6)
        monkeypatch.undo()


def printed_loss(result, name):
    assert result.returncode == 0, result.stderr
    return float(re.search(rf"{name}\W+([\d.]+)", result.stdout)[1])


@pytest.mark.parametrize(("network", "precision"), [("MLP", "32-true"), ("GRU", "32-true"), ("GRU", "bf16-mixed")])
@pytest.mark.usefixtures("words")
def test_the_loss_of_a_split_does_not_depend_on_the_batch(monkeypatch, capsys, network, precision):
    """Catches a mean of the batches' means.

    bf16 keeps 8 bits: the same product, summed in another order, may round to a neighbour, 2^-8 of its value.
    """
    fit(network=f"mm_lightning.networks.{network}", steps=10)
    losses = []
    for limit in (1 << 14, 1, 30):
        monkeypatch.setattr(batches, "_MAX_SCORED_POSITIONS", limit)
        capsys.readouterr()
        main(["validate", "--ckpt_path", "last", "--trainer.precision", precision])
        losses.append(float(re.search(r"val/loss\W+([\d.]+)", capsys.readouterr().out)[1]))
    assert losses[1:] == pytest.approx(losses[:1] * 2, rel=1e-6 if precision == "32-true" else 2**-8)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [2, 3])
def test_the_loss_of_a_split_does_not_depend_on_the_devices(words, tmp_path, devices):
    """Catches items that one process leaves out or two processes share."""
    from test_processes import launch  # noqa: PLC0415

    assert (
        run(
            "fit", "--config", ROOT / "configs/mlp.yaml", "--data.path", words, "--trainer.max_steps", 5, cwd=tmp_path
        ).returncode
        == 0
    )
    one = run("validate", "--ckpt_path", "last", "--trainer.accelerator", "cpu", cwd=tmp_path)
    ranks = launch("validate", "--ckpt_path", "last", cwd=tmp_path, devices=devices)
    many = ranks.wait()
    ranks.end()
    assert printed_loss(many, "val/loss") == pytest.approx(printed_loss(one, "val/loss"), rel=1e-6)
