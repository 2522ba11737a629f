"""A chart in TensorBoard's CUSTOM SCALARS tab: the losses of both splits, one over the other."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

_LAYOUT = {"loss": {"train and val, nats per target": ["Multiline", ["train/loss$", "val/loss$"]]}}  # tags as patterns


class Charts(Callback):
    """Say which curves belong into one chart; where they part, a network begins to learn its words by heart."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the layout, once per run; earlier hooks do not know the step at which it goes on."""
        if isinstance(trainer.logger, TensorBoardLogger) and trainer.is_global_zero and not trainer.global_step:
            trainer.logger.experiment.add_custom_scalars(_LAYOUT)
