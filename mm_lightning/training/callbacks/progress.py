"""A progress bar over the optimiser steps of the whole run."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ProgressBar
from tqdm import tqdm


class StepProgressBar(ProgressBar):
    """Steps done of all, speed, and the last train/loss and val/loss, on stderr; silent where that is no terminal.

    Lightning's own bar restarts every epoch, which for small data is several times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm[Any] | None = None
        self._enabled = True
        self._shown_loss: float | None = None

    def disable(self) -> None:
        """Called by Lightning on all ranks but the first."""
        self._enabled = False

    def enable(self) -> None:
        """Undo `disable`."""
        self._enabled = True

    @property
    def is_enabled(self) -> bool:
        """Whether this rank shows the bar."""
        return self._enabled

    def print(self, *args: Any, sep: str = " ") -> None:
        """Write a line to stdout without tearing the bar."""
        if self._enabled:
            tqdm.write(sep.join(map(str, args)))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar where the run stands."""
        total: float = trainer.max_steps
        if total < 0:
            epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
            total = epochs * trainer.num_training_batches / trainer.accumulate_grad_batches if epochs > 0 else 0
        self._bar = tqdm(
            total=int(total) or None,
            initial=trainer.global_step,
            unit="step",
            mininterval=0.5,  # seconds
            dynamic_ncols=True,
            disable=None if self._enabled else True,
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move on."""
        assert self._bar is not None
        self._bar.update(trainer.global_step - self._bar.n)
        loss = getattr(pl_module, "train_loss", None)
        if loss != self._shown_loss and not self._bar.disable:
            self._shown_loss = loss
            losses = {"train/loss": loss, **trainer.progress_bar_metrics}
            self._bar.set_postfix({k: f"{v:.3f}" for k, v in losses.items() if isinstance(v, float)}, refresh=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Close the bar."""
        self._close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Close the bar."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
