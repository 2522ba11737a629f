"""A progress bar over the optimiser steps of the whole run."""

import math
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm
from typing_extensions import override

from mm_lightning.training.block_steps.lightning_counters import Done, steps_of_run


class StepProgressBar(ProgressBar):
    """Progress bar on stderr: finished and total steps, speed, last train/loss and val/loss.

    Nothing is shown if stderr is not a terminal. Lightning's own bar restarts every epoch, for small
    data several times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None
        self._enabled = True
        self._shown_loss: float | None = None

    @override
    def disable(self) -> None:
        """Show no bar; Lightning calls this on all ranks but the first."""
        self._enabled = False

    @override
    def enable(self) -> None:
        self._enabled = True

    @property
    def is_enabled(self) -> bool:
        """Whether this rank shows the bar."""
        return self._enabled

    def print(self, *args: Any, sep: str = " ") -> None:
        """Write a line to stdout above the bar."""
        if self._enabled:
            tqdm.write(sep.join(map(str, args)))

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar at the step of the run."""
        total = steps_of_run(trainer, trainer.num_training_batches, Done.by(trainer))
        self._bar = tqdm(
            total=None if math.isinf(total) else int(total),
            initial=trainer.global_step,
            unit="step",
            mininterval=0.5,  # seconds
            dynamic_ncols=True,
            disable=None if self._enabled else True,
        )

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert self._bar is not None
        self._bar.update(trainer.global_step - self._bar.n)
        loss = getattr(pl_module, "train_loss", None)
        if loss != self._shown_loss and not self._bar.disable:
            self._shown_loss = loss
            losses = {"train/loss": loss, **trainer.progress_bar_metrics}
            self._bar.set_postfix({k: f"{v:.3f}" for k, v in losses.items() if isinstance(v, float)}, refresh=False)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._close()

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
