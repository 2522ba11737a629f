"""The two checkpoints of a run: the best by val/loss, and the last, from which the run resumes.

Both are saved between two steps: after the last step's validation, end of the epoch, samples and curves, and before the
next batch is fetched. So no work is due in a checkpoint: a run that is killed at any moment resumes from its last
checkpoint and repeats the rest, bit for bit. Lightning's ModelCheckpoint saves within a validation or before the end of
an epoch, and the resumed run then skips or repeats work (lightning 2.6).
"""

import math
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import Count
from mm_lightning.training import run_folders
from mm_lightning.training.block_steps.lightning_counters import is_at_epoch_start, is_between_steps
from mm_lightning.training.callbacks.milestones import CHECKPOINTS, is_at
from mm_lightning.training.checkpoint import BEST_CHECKPOINT
from mm_lightning.training.run_folders import BEST, LAST
from mm_lightning.training.stop_signals import Stopped, StopSignals


class RunCheckpoint(Checkpoint, ABC):
    """A checkpoint that is saved between two steps, and at the end of training.

    Args:
        name: Name of the file, without suffix.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.path = Path()  # set when training starts

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.path = _folder(trainer) / f"{self._name}.ckpt"

    @abstractmethod
    def between_steps(self, trainer: pl.Trainer) -> None:
        """Save the checkpoint if that is due; called on every rank before a batch is fetched."""


class BestCheckpoint(RunCheckpoint):
    """Callback for the checkpoint `best.ckpt`: the weights with the lowest val/loss, at the step of the measurement."""

    def __init__(self) -> None:
        super().__init__(BEST)
        self.score: float | None = None
        self._is_due = False

    @property
    @override
    def state_key(self) -> str:
        return BEST_CHECKPOINT

    @override
    def state_dict(self) -> dict[str, Any]:
        return {"best_model_score": self.score}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        score = state_dict["best_model_score"]
        self.score = None if score is None else float(score)  # a tensor in checkpoints of version 0.1

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forget the score of a checkpoint that lies in another folder, or is gone."""
        super().on_train_start(trainer, pl_module)
        self.score = trainer.strategy.broadcast(self.score if self.path.is_file() else None)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare val/loss; NaN is never the best."""
        loss = float(trainer.callback_metrics.get("val/loss", math.nan))
        if not trainer.sanity_checking and not math.isnan(loss) and (self.score is None or loss < self.score):
            self.score = loss
            self._is_due = True

    @override
    def between_steps(self, trainer: pl.Trainer) -> None:
        if self._is_due:
            trainer.save_checkpoint(self.path, weights_only=False)
            self._is_due = False

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.between_steps(trainer)


class LastCheckpoint(RunCheckpoint):
    """The checkpoint `last.ckpt`, saved at an interval, after epochs, at the end, and on SIGINT or SIGTERM.

    Of epochs of fewer than 200 steps, each second, fourth, eighth ... is saved, 200 to 400 steps apart.

    The first signal stops the run at the end of the current step or block. A second signal stops the run at once.

    Args:
        every_n_train_steps: Optimiser steps between two saves.
    """

    def __init__(self, every_n_train_steps: Count = 1000) -> None:
        super().__init__(LAST)
        self.every_n_train_steps = every_n_train_steps
        self._saved_step = 0
        self._signals = StopSignals()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the stop signals."""
        super().on_train_start(trainer, pl_module)
        self._saved_step = trainer.global_step
        self._signals.listen()

    @override
    def between_steps(self, trainer: pl.Trainer) -> None:
        """Save after an interval or an epoch of `CHECKPOINTS`, or on a signal.

        Raises:
            Stopped: After a signal.
        """
        signum, step = self._agreed_signal(trainer), trainer.global_step
        if not is_between_steps(trainer):
            return
        is_new = step != self._saved_step
        if signum is not None and step == 0:
            raise Stopped(signum)
        is_due = step % self.every_n_train_steps == 0 or (
            is_at_epoch_start(trainer) and is_at(CHECKPOINTS, trainer, trainer.current_epoch)
        )
        if signum is not None or (is_new and is_due):
            self._save(trainer)
        if signum is not None:
            raise Stopped(signum, step, self.path if trainer.is_global_zero else None)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save a counted network, which is complete now, before anything that can fail."""
        if trainer.global_step == 0:
            self._save(trainer)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer)
        self._signals.restore()

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._signals.restore()

    def _agreed_signal(self, trainer: pl.Trainer) -> int | None:
        """The stop signal to heed now: all ranks decide together, since a rank that stops alone leaves others waiting.

        A rank without a signal of its own stops as by SIGTERM.
        """
        signum = self._signals.signum
        if trainer.world_size > 1:
            is_stopping = trainer.strategy.reduce_boolean_decision(signum is not None, all=False)
            signum = (signum or signal.SIGTERM) if is_stopping else None
        return signum

    def _save(self, trainer: pl.Trainer) -> None:
        """Save the checkpoint, after the points of the curves that belong to the run so far."""
        for logger in trainer.loggers:
            logger.save()
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved_step = trainer.global_step


def check_validation_interval(trainer: pl.Trainer, num_batches: int) -> None:
    """Refuse an interval beyond the epoch that counts it, and validations between the batches of one optimiser step.

    A `best.ckpt` of such a moment has lost the gradients of the batches since the last step. And the point of val/loss
    has the step of earlier checkpoints, so a resumed run would repeat it.

    Args:
        trainer: The Trainer.
        num_batches: Training batches of an epoch.

    Raises:
        UserError: Names the settings.
    """
    if not trainer.limit_val_batches:
        return
    interval, accumulated = trainer.val_check_interval, trainer.accumulate_grad_batches
    every = interval if isinstance(interval, int) else max(1, int(num_batches * interval))
    is_across = trainer.check_val_every_n_epoch is None  # epochs, each of which ends with a whole step
    if is_across:
        every = math.gcd(every, num_batches)
    if every > num_batches:
        raise UserError(
            f"trainer.val_check_interval is {interval}, but an epoch has {num_batches} batches; lower it, or count "
            "across epochs with --trainer.check_val_every_n_epoch null"
        )
    if every % accumulated and every % num_batches:
        remedy = " and --trainer.check_val_every_n_epoch 1" if is_across and num_batches % accumulated else ""
        raise UserError(
            f"trainer.val_check_interval is {interval} and trainer.accumulate_grad_batches is {accumulated}: with "
            f"{num_batches} batches in an epoch, a validation would come within an optimiser step; set --trainer."
            f"val_check_interval to a multiple of {accumulated} batches{remedy}, or leave it out"
        )


def _folder(trainer: pl.Trainer) -> Path:
    """Folder of the checkpoints. Only the first rank has a run folder and writes checkpoints."""
    run: Path | None = getattr(trainer, "run_folder", None)
    return (run or Path(trainer.default_root_dir)) / run_folders.CHECKPOINTS
