"""The two checkpoints of a run: the best by val/loss, and the last, from which it goes on."""

import signal
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.training.checkpoint import BEST_CHECKPOINT
from mm_lightning.training.run_folders import BEST, CHECKPOINTS, LAST
from mm_lightning.training.stop_signals import Stopped, StopSignals


class BestCheckpoint(ModelCheckpoint):
    """`best.ckpt`: the weights with the lowest val/loss, as they were when it was measured."""

    def __init__(self) -> None:
        super().__init__(filename=BEST, monitor="val/loss", enable_version_counter=False)
        self._validated_step = -1

    @property
    @override
    def state_key(self) -> str:
        return BEST_CHECKPOINT

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Save into the run folder."""
        self.dirpath = str(_folder(trainer))
        self._last_global_step_saved = -1  # lightning 2.6 says 0, where a network that counts has yet to be saved
        super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save in mid-epoch; at an epoch's last step `on_train_epoch_end` does it, when the epoch is over too."""
        self._validated_step = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    def _should_save_on_train_epoch_end(self, trainer: pl.Trainer) -> bool:
        """Lightning would go by the settings, and save weights of later steps beside the last val/loss."""
        return trainer.is_last_batch and self._validated_step == trainer.global_step


class LastCheckpoint(Checkpoint):
    """`last.ckpt`: every so many steps, after every epoch, at the end, and when SIGINT or SIGTERM asks to stop.

    Stopping waits for the end of the step at hand, whose state is whole. A second signal stops at once.

    Args:
        every_n_train_steps: Optimiser steps between two saves.
    """

    def __init__(self, every_n_train_steps: int = 1000) -> None:
        if every_n_train_steps < 1:
            raise UserError(f"last.every_n_train_steps is {every_n_train_steps}; it must be at least 1")
        self.every_n_train_steps = every_n_train_steps
        self.path = Path()  # known when training is about to begin
        self._saved_step = -1
        self._signals = StopSignals()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait for stop signals."""
        self.path = _folder(trainer) / f"{LAST}.ckpt"
        self._signals.listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save in mid-epoch. At an epoch's last step `on_train_epoch_end` does it, when validation is over too."""
        signum = self._agreed_signal(trainer)
        step = trainer.global_step
        if trainer.is_last_batch or step == self._saved_step:
            return
        if signum is not None or step % self.every_n_train_steps == 0 or step == trainer.max_steps:
            self._save(trainer, signum)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save the state after validation."""
        self._save(trainer, self._agreed_signal(trainer))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the handlers of the stop signals."""
        self._signals.restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the handlers of the stop signals."""
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

    def _save(self, trainer: pl.Trainer, signum: int | None) -> None:
        """Save the state of a new step, then raise `Stopped` if there is a signal.

        Without a step the model is counted, and complete.
        """
        if trainer.global_step != self._saved_step:
            trainer.save_checkpoint(self.path, weights_only=False)
            self._saved_step = trainer.global_step
        if signum is not None and trainer.global_step:
            raise Stopped(signum, trainer.global_step, self.path)


def _folder(trainer: pl.Trainer) -> Path:
    """Where checkpoints go; only the first rank, which writes them, knows its run folder."""
    run: Path | None = getattr(trainer, "run_folder", None)
    return (run or Path(trainer.default_root_dir)) / CHECKPOINTS
