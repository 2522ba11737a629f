"""The two checkpoints of a run: the best by val/loss, and the last, from which the run resumes."""

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
    """Callback for the checkpoint `best.ckpt`: the weights with the lowest val/loss, at the step of the measurement."""

    def __init__(self) -> None:
        super().__init__(filename=BEST, monitor="val/loss", enable_version_counter=False)
        self._validated_step = -1

    @property
    @override
    def state_key(self) -> str:
        return BEST_CHECKPOINT

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.dirpath = str(_folder(trainer))
        self._last_global_step_saved = -1  # lightning 2.6 sets 0, the step at which a counted network is saved
        super().setup(trainer, pl_module, stage)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save in mid-epoch; at an epoch's last step, `on_train_epoch_end` saves the finished epoch."""
        self._validated_step = trainer.global_step
        super().on_validation_end(trainer, pl_module)

    @override
    def _should_save_on_train_epoch_end(self, trainer: pl.Trainer) -> bool:
        """Whether the last validation measured these weights; Lightning would also save weights of later steps."""
        return trainer.is_last_batch and self._validated_step == trainer.global_step


class LastCheckpoint(Checkpoint):
    """The checkpoint `last.ckpt`, saved at an interval, after each epoch, at the end, and on SIGINT or SIGTERM.

    The first signal stops the run at the end of the current step or block. A second signal stops the run at once.

    Args:
        every_n_train_steps: Optimiser steps between two saves, at least 1.
    """

    def __init__(self, every_n_train_steps: int = 1000) -> None:
        if every_n_train_steps < 1:
            raise UserError(f"last.every_n_train_steps is {every_n_train_steps}; it must be at least 1")
        self.every_n_train_steps = every_n_train_steps
        self.path = Path()  # set when training starts
        self._saved_step = -1
        self._signals = StopSignals()

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen to the stop signals."""
        self.path = _folder(trainer) / f"{LAST}.ckpt"
        self._signals.listen()

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save in mid-epoch; at an epoch's last step, `on_train_epoch_end` saves the state after validation."""
        signum = self._agreed_signal(trainer)
        step = trainer.global_step
        if trainer.is_last_batch or step == self._saved_step:
            return
        if signum is not None or step % self.every_n_train_steps == 0 or step == trainer.max_steps:
            self._save(trainer, signum)

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._save(trainer, self._agreed_signal(trainer))

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
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
    """Folder of the checkpoints. Only the first rank has a run folder and writes checkpoints."""
    run: Path | None = getattr(trainer, "run_folder", None)
    return (run or Path(trainer.default_root_dir)) / CHECKPOINTS
