"""A run that goes on in another number of processes, and in the same number."""

from pathlib import Path

import pytest
import torch
from compare import equal
from run_command import run_ranks
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

GLOBAL_BATCH = 12  # of 130 windows or 28 items: 10 or 2 batches an epoch
BLOCKS = ("--trainer.steps_per_execution", 7)
ADAM = ("--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", 0.01)
WINDOWS = ("--model.network", "mm_lightning.networks.MLP", "--model.network.batch_norm", "false", *ADAM)
PADDED = ("--model.network", "mm_lightning.networks.GRU", "--model.network.hidden_dim", 8, *ADAM)
DROPOUT = ("--model.network", "mm_lightning.networks.MLP", "--model.network.dropout", 0.3, *ADAM)
CASES = {
    "windows": WINDOWS,
    "windows in blocks": (*WINDOWS, *BLOCKS),
    "padded": PADDED,
    "padded in blocks": (*PADDED, *BLOCKS),
}


def fit(words, count, steps, *options, batch_size=None):
    """Checkpoint, curves and the first rank's lines of a fit in some processes."""
    results = run_ranks(
        count,
        *("fit", "--data.path", words, "--data.batch_size", batch_size or GLOBAL_BATCH // count),
        *("--trainer.max_steps", steps, "--trainer.log_every_n_steps", 4, "--samples.num_samples", 0, *options),
        cwd=words.parent,
    )
    run = max(Path("lightning_logs").iterdir(), key=lambda run: int(run.name.removeprefix("version_")))
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True), curves(run), results[0].stderr


def curves(run):
    """Points of the losses by step."""
    events = EventAccumulator(str(run))
    events.Reload()
    return {tag: {event.step: event.value for event in events.Scalars(tag)} for tag in ("train/loss", "val/loss")}


@pytest.mark.parametrize("options", [(*DROPOUT, *BLOCKS), pytest.param(DROPOUT, marks=pytest.mark.slow)])
def test_the_same_number_of_processes_repeats_to_the_bit(words, options):
    """Catches the loss or the random state of one rank in all of them, and dropout that is the same on all ranks."""
    whole, whole_curves, _ = fit(words, 2, 30, *options)
    states = whole["callbacks"]["random_state"]["cpu"]
    assert not torch.equal(states[0], states[1])
    fit(words, 2, 17, *options)  # within an epoch, a block, and an interval of the curve
    resumed, resumed_curves, lines = fit(words, 2, 30, "--ckpt_path", "last")
    assert "a batch has" not in lines
    for key in ("state_dict", "optimizer_states", "train_loss", "loops", "data"):
        assert equal(whole[key], resumed[key]), key
    assert equal(states, resumed["callbacks"]["random_state"]["cpu"])
    assert resumed_curves["train/loss"] == whole_curves["train/loss"]
    assert resumed_curves["val/loss"].items() >= whole_curves["val/loss"].items()


SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in ("windows", "padded in blocks")]


@pytest.mark.parametrize("case", ["windows in blocks", "padded", *SLOW])
def test_other_numbers_of_processes_go_on_with_the_same_curve(words, case):
    """Catches a position that counts the examples of a rank, and a loss that begins anew."""
    whole, whole_curves, _ = fit(words, 1, 36, *CASES[case])
    fit(words, 2, 10, *CASES[case])
    _, _, lines = fit(words, 3, 23, "--ckpt_path", "last")
    assert "a batch has" not in lines
    parts, parts_curves, _ = fit(words, 1, 36, "--ckpt_path", "last")
    assert parts["data"] == whole["data"]
    assert equal(parts["loops"], whole["loops"])
    for key, value in whole["state_dict"].items():
        torch.testing.assert_close(parts["state_dict"][key], value, rtol=1e-3, atol=1e-4)
    for tag, points in whole_curves.items():
        assert {step: parts_curves[tag][step] for step in points} == pytest.approx(points, abs=1e-4), tag


@pytest.mark.parametrize("options", [(*WINDOWS, *BLOCKS), pytest.param(WINDOWS, marks=pytest.mark.slow)])
def test_a_batch_of_another_size_is_said(words, options):
    """Catches a run that goes on with half of a batch without a word, or at another place of the data."""
    fit(words, 2, 8, *options)
    resumed, found, lines = fit(words, 1, 20, "--ckpt_path", "last", batch_size=6)
    assert "a batch has 6 examples, and had 12 until this checkpoint; --data.batch_size 12 keeps 12\n" in lines
    assert resumed["data"]["position"] == 16 + 12  # of batches of 6, 21 an epoch
    assert resumed["epoch"] == 1
    assert found["val/loss"].keys() == {8, 8 + 21 - 16, 20}
    _, _, lines = fit(words, 3, 21, "--ckpt_path", "last", batch_size=5)
    assert "a batch has 15 examples (5 on each of 3 devices), and had 6 until this checkpoint; " in lines
