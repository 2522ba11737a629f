"""A run with ReduceLROnPlateau that was stopped and resumed is the run that was not, bit for bit."""

from contextlib import chdir
from functools import cache

import pytest
import torch
from compare import equal

from mm_lightning.cli.application import main

STEPS = 80  # three epochs of 26 steps and the begin of a fourth
INTERVALS = {
    "each epoch": (),
    "within epochs": ("--trainer.val_check_interval", "10"),  # an epoch's end looks at its 20th step
    "across epochs": ("--trainer.val_check_interval", "10", "--trainer.check_val_every_n_epoch", "null"),
}


def fit(words, *options, steps=STEPS):
    """The last checkpoint of a run whose rate falls to a tenth after an epoch that improves by less than a tenth."""
    main(
        [
            *("fit", "--data.path", str(words), "--data.batch_size", "5"),
            *("--model.network", "mm_lightning.networks.MLP", "--model.network.hidden_dim", "8"),
            *("--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01"),
            *("--model.lr_scheduler", "lightning.pytorch.cli.ReduceLROnPlateau"),
            *("--model.lr_scheduler.monitor", "val/loss", "--model.lr_scheduler.patience", "0"),
            *("--model.lr_scheduler.threshold", "0.1", "--samples.num_samples", "0"),
            *("--trainer.max_steps", str(steps), *options),
        ]
    )
    return torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)


@pytest.fixture(scope="module")
def whole(words_elsewhere, tmp_path_factory):
    """The last checkpoints of uninterrupted runs; tests only read them, so each is made once."""

    @cache
    def make(intervals):
        with chdir(tmp_path_factory.mktemp("whole")):
            return fit(words_elsewhere, *INTERVALS[intervals])

    return make


@pytest.mark.parametrize(
    ("intervals", "stop"),
    [
        *(("each epoch", stop) for stop in (26, 30)),
        *(("within epochs", stop) for stop in (23, 25, 52)),
        ("across epochs", 51),
    ],
)
def test_the_rate_falls_in_a_resumed_run_as_in_an_uninterrupted_one(words, whole, intervals, stop):
    """Catches an epoch's end that a resumed schedule leaves out, and one that looks at another val/loss or at none."""
    fit(words, *INTERVALS[intervals], steps=stop)
    resumed = fit(words, *INTERVALS[intervals], "--ckpt_path", "last")
    schedule = whole(intervals)["lr_schedulers"][0]
    assert schedule["_last_lr"] == [pytest.approx(1e-3)]
    assert schedule["last_epoch"] == 3
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "train_loss"):
        assert equal(whole(intervals)[key], resumed[key]), key
    assert whole(intervals)["callbacks"]["plateau"] == resumed["callbacks"]["plateau"]


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        (("--model.lr_scheduler.monitor", "val_loss"), "give one of step, val/bits_per_char, "),
        (("--trainer.check_val_every_n_epoch", "2"), "leave trainer.val_check_interval and trainer.check_val_every_n_"),
    ],
)
def test_a_metric_that_is_not_there_is_named_with_its_remedy(words, capsys, options, remedy):
    """Catches a schedule that never steps, or an error that names no setting."""
    with pytest.raises(SystemExit):
        fit(words, *options)
    error = capsys.readouterr().err.splitlines()[-1]
    assert "which was not measured by the end of epoch 1; " + remedy in error
