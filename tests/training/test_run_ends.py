"""The end of a run: where it comes, what is measured and counted there, and what a run that cannot begin leaves."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from compare import equal
from lightning.pytorch.callbacks import Timer
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mm_lightning import UserError
from mm_lightning.cli.application import main
from mm_lightning.training.callbacks.checkpoints import check_validation_interval

RUNS = Path("lightning_logs")
EPOCH_AVERAGE = ("--trainer.callbacks+=averages.EpochAverage",)


def fit(words, *options, optimizer="Adam"):
    """Fit a small network; an epoch has 26 batches."""
    main(
        [
            *("fit", "--data.path", str(words), "--data.batch_size", "5"),
            *("--model.network", "mm_lightning.networks.MLP", "--model.network.hidden_dim", "8"),
            *("--model.optimizer", f"torch.optim.{optimizer}", "--model.optimizer.lr", "0.01", *options),
        ]
    )


def checkpoint(version, name="last"):
    return torch.load(RUNS / f"version_{version}/checkpoints/{name}.ckpt", weights_only=True)


def curve(version, tag):
    events = EventAccumulator(str(RUNS / f"version_{version}")).Reload()
    return [(event.step, event.value) for event in events.Scalars(tag)]


@pytest.mark.parametrize(
    ("options", "batches", "steps"),
    [
        ((), 216, 216),  # in the ninth epoch, whose end is no milestone
        (EPOCH_AVERAGE, 216, 216),
        (("--trainer.accumulate_grad_batches", "4"), 217, 59),  # eight epochs of 7 steps, then 12 batches
        (("--trainer.accumulate_grad_batches", "4"), 234, 63),  # nine epochs, whose last step has two batches
    ],
    ids=["single", "averaged", "accumulated", "at an epoch's end"],
)
def test_a_run_that_ends_by_time_is_the_run_that_ends_by_steps(words, monkeypatch, options, batches, steps):
    """Catches an end in mid-epoch without validation, one within a step, and an average that comes after its loss."""

    def stop(self, trainer):
        trainer.should_stop = trainer.should_stop or trainer.fit_loop.total_batch_idx + 1 >= batches

    fit(words, *options, "--trainer.max_steps", str(steps))
    monkeypatch.setattr(Timer, "_check_time_remaining", stop)
    fit(words, *options, "--trainer.max_time", "00:01:00:00")
    for name, key in itertools.product(("last", "best"), ("state_dict", "optimizer_states", "global_step", "loops")):
        assert equal(checkpoint(0, name)[key], checkpoint(1, name)[key]), (name, key)
    assert curve(0, "val/loss")[-1][0] == steps
    assert curve(0, "val/loss") == curve(1, "val/loss")


def test_a_batch_that_is_evaluated_several_times_is_counted_once(words):
    """Catches one point of train/loss for each evaluation of LBFGS, and a mean over all of them."""
    options = ("--model.optimizer.max_iter", "3", "--trainer.max_steps", "5", "--trainer.log_every_n_steps", "2")
    fit(words, *options, optimizer="LBFGS")
    assert [step for step, _ in curve(0, "train/loss")] == [2, 4]
    assert checkpoint(0)["train_loss"]["count"] == 1


def comes_within_a_step(every, is_across, accumulated, num_batches):
    """Whether a validation of the first epochs comes between the batches of one step."""
    for total in range(1, 40 * num_batches + 1):
        done = (total - 1) % num_batches + 1
        is_whole = done % accumulated == 0 or done == num_batches
        if (total if is_across else done) % every == 0 and not is_whole:
            return True
    return False


def is_refused(interval, is_across, accumulated, num_batches):
    trainer = SimpleNamespace(
        val_check_interval=interval,
        check_val_every_n_epoch=None if is_across else 1,
        accumulate_grad_batches=accumulated,
        limit_val_batches=1.0,
    )
    try:
        check_validation_interval(trainer, num_batches)
    except UserError:
        return True
    return False


def test_an_interval_is_refused_where_a_validation_would_come_within_a_step():
    """Catches a best.ckpt without the gradients of some batches, and an interval that is refused without need."""
    for accumulated, num_batches in itertools.product(range(1, 6), range(1, 14)):
        for every in range(1, 2 * num_batches + 3):
            expected = comes_within_a_step(every, True, accumulated, num_batches)
            assert is_refused(every, True, accumulated, num_batches) == expected, (every, accumulated, num_batches)
        for every in range(1, num_batches + 1):
            expected = comes_within_a_step(every, False, accumulated, num_batches)
            for interval in (every, (every + 0.5) / num_batches if every < num_batches else 1.0):
                assert is_refused(interval, False, accumulated, num_batches) == expected, (interval, accumulated)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--trainer.accumulate_grad_batches", "3", "--trainer.val_check_interval", "5"),
            "trainer.val_check_interval is 5 and trainer.accumulate_grad_batches is 3: with 26 batches in an epoch",
        ),
        (
            ("--trainer.val_check_interval", "27"),
            "trainer.val_check_interval is 27, but an epoch has 26 batches; lower",
        ),
        (
            ("--trainer.fast_dev_run", "true", "--trainer.logger", "false", "--histograms.every_n_train_steps", "5"),
            "histograms.every_n_train_steps is 5, but trainer.logger is not TensorBoard's",
        ),
    ],
)
def test_a_run_that_cannot_begin_is_one_line_and_leaves_no_folder(words, capsys, options, message):
    """Catches a traceback of Lightning's, or of a folder that is removed twice, and validations within a step."""
    with pytest.raises(SystemExit):
        fit(words, *options)
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: {message}")
    assert list(RUNS.iterdir()) == []
