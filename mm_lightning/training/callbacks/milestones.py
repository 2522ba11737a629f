"""Milestones: the epochs whose end has more work than training.

A short list has epochs of a few milliseconds, and its run has hundreds of them. Validation, samples, pictures and
checkpoints take longer than such an epoch. So they come at epochs that lie further apart as the run grows. A run has as
many of them as its length has octaves, and not as many as it has epochs.

Whether an epoch is a milestone depends only on its number and its steps, never on time. A resumed run therefore has
the milestones of an uninterrupted one.
"""

from dataclasses import dataclass
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import ReduceLROnPlateau
from typing_extensions import override

from mm_lightning.training.block_steps.lightning_counters import is_ending, steps_per_epoch, validate_after_epoch

_NEVER = 1 << 62


@dataclass(frozen=True)
class Milestones:
    """Epochs whose number has few significant bits, as 4, 5, 6, 7, 8, 10, 12, 14, 16, 20 with 3 bits.

    Args:
        first_step: Epochs count in units of at least this many steps; the first milestone is the end of one unit.
        bits: Significant bits; each octave of epochs has 2 ** (bits - 1) milestones.
        max_steps: Steps between two milestones at most, if epochs are no longer.
    """

    first_step: int
    bits: int = 1
    max_steps: int = _NEVER

    def has(self, epoch: int, steps_per_epoch: int) -> bool:
        """Whether an epoch is a milestone.

        Args:
            epoch: Number of the epoch, from 1.
            steps_per_epoch: Optimiser steps of each epoch.
        """
        unit = 1 << (-(-self.first_step // steps_per_epoch) - 1).bit_length()  # epochs; a power of 2 nests milestones
        number, rest = divmod(epoch, unit)
        most = max(1, self.max_steps // (unit * steps_per_epoch))
        distance = 1 << max(0, min(number.bit_length() - self.bits, most.bit_length() - 1))  # units, a power of 2
        return not rest and number % distance == 0


# The cost of each on a CPU stands beside it, in steps of a small network.
LINES = Milestones(first_step=64, bits=2)
SAMPLES = Milestones(first_step=64, bits=2, max_steps=512)  # 10 to 50 steps; all milestones of LINES are among them
VALIDATIONS = Milestones(first_step=4, bits=3, max_steps=128)  # 5 to 10 steps, and a tenth of an epoch
CHECKPOINTS = Milestones(first_step=200, max_steps=200)  # 5 to 10 steps
PICTURES = Milestones(first_step=1024)  # some 200 steps


def is_at(milestones: Milestones, trainer: pl.Trainer, epoch: int) -> bool:
    """Whether the epoch of this number, from 1, is a milestone of a run."""
    return milestones.has(epoch, steps_per_epoch(trainer))


class ValidationMilestones(Callback):
    """Validation at milestones and at the end, in place of every epoch's end.

    A fit with a validation interval of the user's goes without this callback. For a schedule or a callback that looks
    at a metric after every epoch, every epoch is validated.
    """

    def __init__(self) -> None:
        self._is_every_epoch = False

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        callbacks = trainer.callbacks  # type: ignore[attr-defined] # set by a connector
        schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
        is_watched = any(hasattr(callback, "monitor") for callback in callbacks)
        self._is_every_epoch = is_watched or any(isinstance(schedule, ReduceLROnPlateau) for schedule in schedules)

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Decide whether Lightning validates, if this batch is the last of its epoch or of the run."""
        epoch = trainer.current_epoch + 1
        is_end = is_ending(trainer) or epoch == trainer.max_epochs
        validate_after_epoch(trainer, is_end or self._is_every_epoch or is_at(VALIDATIONS, trainer, epoch))
