"""The run's settings in TensorBoard's HPARAMS tab, with the val loss beside them."""

import math

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger


class HyperParameters(Callback):
    """Register `hp/val_loss` with the settings: a metric that is not there at the start never shows."""

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the settings once per run."""
        if isinstance(trainer.logger, TensorBoardLogger) and trainer.global_step == 0:
            trainer.logger.log_hyperparams(trainer.logger.hparams, {"hp/val_loss": math.nan})
