"""Averages of the weights, by Lightning's WeightAveraging and its subclasses, such as EMAWeightAveraging.

Lightning's callback updates the average when a batch ends, and swaps it with the weights for validation and at the end
of training. This application also has blocks of steps, samples and pictures within training, and checkpoints that are
saved between two steps. The functions and the callback here join the two; the average itself is not made here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, StochasticWeightAveraging, WeightAveraging
from torch.optim.swa_utils import AveragedModel
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.training.block_steps.lightning_counters import is_ending


def averaging_of(trainer: pl.Trainer) -> WeightAveraging | None:
    """The callback that averages the weights, if there is one."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set by a connector
    return next((callback for callback in callbacks if isinstance(callback, WeightAveraging)), None)


def average_of(callback: WeightAveraging) -> AveragedModel:
    """The average in a fit."""
    assert callback._average_model is not None, "made in setup"
    return callback._average_model


def note_update(callback: WeightAveraging, step: int) -> None:
    """Note that the average is updated up to this step, from 1, so that Lightning's own call does not do it again."""
    callback._latest_update_step = step


def check_averaging(callbacks: list[Callback]) -> None:
    """Refuse two averages, and Lightning's older callback, which exchanges the schedule.

    Raises:
        UserError: Names the callbacks.
    """
    if any(isinstance(callback, StochasticWeightAveraging) for callback in callbacks):
        raise UserError(
            "trainer.callbacks has StochasticWeightAveraging, which replaces the schedule and is lost when a run "
            "resumes; take WeightAveraging or EMAWeightAveraging, with the schedule in model.lr_scheduler"
        )
    names = [type(callback).__name__ for callback in callbacks if isinstance(callback, WeightAveraging)]
    if len(names) > 1:
        raise UserError(f"trainer.callbacks has {' and '.join(names)}, and a run has one average; leave one out")


def arrange_averaging(trainer: pl.Trainer, model: pl.LightningModule) -> None:
    """Put the averaging callback behind all others, and its companion behind it.

    At the end of training Lightning replaces the weights by the average. The last checkpoint, which needs both, is
    saved before. Lightning makes the average on the device of the model, so the model is moved to its device first.
    """
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined] # set by a connector
    if averaging_of(trainer) is not None:
        model.to(trainer.strategy.root_device)
    others = [callback for callback in callbacks if not isinstance(callback, WeightAveraging | _Companion)]
    averaging = [callback for callback in callbacks if isinstance(callback, WeightAveraging)]
    trainer.callbacks = [*others, *averaging, *map(_Companion, averaging)]  # type: ignore[attr-defined]


@contextmanager
def averaged_weights(trainer: pl.Trainer, pl_module: pl.LightningModule) -> Iterator[None]:
    """Let the model have the averaged weights, as Lightning does for a validation; without an average, do nothing."""
    callback = averaging_of(trainer)
    if callback is None:
        yield
        return
    callback.on_validation_epoch_start(trainer, pl_module)
    try:
        yield
    finally:
        callback.on_validation_epoch_end(trainer, pl_module)


class _Companion(Callback):
    """Callback that updates the average of an epoch early.

    Args:
        averaging: The averaging callback, called just before.
    """

    def __init__(self, averaging: WeightAveraging) -> None:
        self._averaging = averaging

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average of an epoch before its validation, so that `best.ckpt` has the weights as measured."""
        if trainer.is_last_batch or is_ending(trainer):
            self._averaging.on_train_epoch_end(trainer, pl_module)
