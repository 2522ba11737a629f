"""A schedule that spans the run takes the number of steps from the Trainer."""

from pathlib import Path

import pytest
import torch
from compare import equal
from run_command import run

ADAM = ("--model.optimizer", "torch.optim.AdamW")
ONE_CYCLE = ("--model.lr_scheduler", "torch.optim.lr_scheduler.OneCycleLR", "--model.lr_scheduler.max_lr", "0.01")
TOTAL_STEPS = "--model.lr_scheduler.total_steps"
STEPS_PER_EPOCH = "--model.lr_scheduler.steps_per_epoch"
NETWORK = ("--model.network", "mm_lightning.networks.MLP", "--model.network.hidden_dim", "8")
BATCHES = 26  # of an epoch


def fit(words: Path, *options: str) -> object:
    """The result of a small fit; steps in blocks and single steps take the same way."""
    common = ("--data.path", words, "--data.batch_size", "5", *NETWORK, *ADAM, *ONE_CYCLE)
    return run("fit", *common, *options, cwd=words.parent)


def last(words: Path, version: int = 0) -> dict:
    path = words.parent / f"lightning_logs/version_{version}/checkpoints/last.ckpt"
    return torch.load(path, weights_only=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize("steps_per_execution", ["1", "7"])
@pytest.mark.parametrize(
    ("limit", "steps"),
    [(("--trainer.max_steps", "30"), 30), (("--trainer.max_epochs", "2"), 2 * BATCHES)],
    ids=["steps", "epochs"],
)
def test_the_rate_falls_to_the_end_of_the_run(words, limit, steps, steps_per_execution):
    """Catches a schedule whose length is written down a second time, and one that ends before or after the run."""
    done = fit(words, *limit, "--trainer.steps_per_execution", steps_per_execution)
    assert done.returncode == 0, done.stderr
    schedule = last(words)["lr_schedulers"][0]
    assert schedule["total_steps"] == last(words)["global_step"] == steps
    assert schedule["_last_lr"][0] < 0.01 / 25  # below the rate at the start


def test_a_run_without_an_end_has_no_horizon(words):
    """Catches a schedule of infinite length, which torch reports as an overflow."""
    done = fit(words, "--trainer.max_steps", "-1", "--trainer.max_epochs", "-1", "--trainer.max_time", "00:00:00:05")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: the run has no end for the schedule to reach; set trainer.")
    assert not (words.parent / "lightning_logs/version_0").exists()


def test_a_schedule_that_ends_before_the_run_is_refused(words):
    """Catches torch's error in the middle of a run, after the schedule's last step."""
    done = fit(words, "--trainer.max_steps", "30", TOTAL_STEPS, "20")
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert "model.lr_scheduler has 20 steps, but the run has 30 (trainer.max_steps or max_epochs)" in error
    assert not (words.parent / "lightning_logs/version_0").exists()


def test_a_run_too_short_for_its_rise_is_refused(words):
    """Catches torch's division by zero, which names no setting."""
    done = fit(words, "--trainer.max_steps", "5", "--model.lr_scheduler.pct_start", "0.2")
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("error: model.lr_scheduler: a run of 5 steps is too short for pct_start 0.2")
    assert "raise trainer.max_steps" in error
    assert not (words.parent / "lightning_logs/version_0").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--trainer.max_steps", "30", "--model.lr_scheduler.epochs", "2", STEPS_PER_EPOCH, "10"),
            "20 steps, but the run",
        ),
        (
            ("--trainer.max_steps", "-1", "--trainer.max_epochs", "-1", TOTAL_STEPS, "20"),
            "20 steps, but the run has no",
        ),
    ],
)
def test_a_schedule_of_another_length_than_the_run_is_refused(words, options, message):
    """Catches a length in epochs that nobody compares, and a run that would go on for ever after the schedule."""
    done = fit(words, *options)
    assert done.returncode == 1
    assert f"error: model.lr_scheduler has {message}" in done.stderr.splitlines()[-1]
    assert not (words.parent / "lightning_logs/version_0").exists()


def test_a_longer_schedule_is_kept_and_said(words):
    """Catches a given length that is ignored, and a rate that never falls without a word."""
    done = fit(words, "--trainer.max_steps", "10", TOTAL_STEPS, "40")
    assert done.returncode == 0, done.stderr
    assert "the schedule spans 40 steps and the run 10" in done.stderr
    assert last(words)["lr_schedulers"][0]["total_steps"] == 40


def test_a_resumed_run_that_is_longer_has_a_longer_schedule(words):
    """Catches a run that cannot go on beyond the steps it was begun with."""
    assert fit(words, "--trainer.max_steps", "10").returncode == 0
    done = fit(words, "--trainer.max_steps", "30", "--ckpt_path", "last")
    assert done.returncode == 0, done.stderr
    assert last(words)["lr_schedulers"][0]["total_steps"] == last(words)["global_step"] == 30
    assert last(words)["lr_schedulers"][0]["_last_lr"][0] < 0.01 / 25


@pytest.mark.parametrize("step", [*(pytest.param(step, marks=pytest.mark.slow) for step in ("7", "26")), "30"])
def test_a_horizon_from_epochs_keeps_the_place_in_the_data(words, step):
    """Catches a position in the data that is lost when the number of batches is looked up on resume."""
    epochs = ("--trainer.max_steps", "-1", "--trainer.max_epochs", "2")
    assert fit(words, "--trainer.max_steps", step, TOTAL_STEPS, str(2 * BATCHES)).returncode == 0
    resumed = fit(words, *epochs, TOTAL_STEPS, "null", "--ckpt_path", "last")
    assert resumed.returncode == 0, resumed.stderr
    (words.parent / "lightning_logs/version_0").rename(words.parent / "resumed")
    assert fit(words, *epochs).returncode == 0
    whole = last(words)
    parts = torch.load(words.parent / "resumed/checkpoints/last.ckpt", weights_only=True)
    for key in ("state_dict", "optimizer_states", "global_step", "train_loss", "data"):
        assert equal(whole[key], parts[key]), key


def test_a_resumed_run_can_begin_a_schedule(words):
    """Catches a new schedule that is held against the length of the old run, which had none."""
    data = ("--data.path", words, "--data.batch_size", "5", *NETWORK, *ADAM)
    assert run("fit", *data, "--trainer.max_steps", "10", cwd=words.parent).returncode == 0
    done = run("fit", "--ckpt_path", "last", *ONE_CYCLE, "--trainer.max_steps", "30", cwd=words.parent)
    assert done.returncode == 0, done.stderr
    assert last(words)["lr_schedulers"][0]["total_steps"] == last(words)["global_step"] == 30


def test_larger_batches_shorten_the_rest_of_a_run(words):
    """Catches a schedule that counts the epochs that are done in today's batches, and ends before the run."""
    assert fit(words, "--trainer.max_steps", "60", TOTAL_STEPS, "104").returncode == 0
    epochs = ("--trainer.max_steps", "-1", "--trainer.max_epochs", "4", TOTAL_STEPS, "null")
    done = fit(words, *epochs, "--data.batch_size", "20", "--ckpt_path", "last")
    assert done.returncode == 0, done.stderr
    # two epochs of 26 batches and 8 more of the third are done; of its 6 new batches 4 are left, then the fourth epoch
    assert last(words)["lr_schedulers"][0]["total_steps"] == last(words)["global_step"] == 60 + 4 + 6
