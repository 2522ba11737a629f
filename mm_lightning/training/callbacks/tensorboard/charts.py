"""A chart in TensorBoard's CUSTOM SCALARS tab: train/loss and val/loss in one picture."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from mm_lightning.training.callbacks.run_loggers import event_writer

_LAYOUT = {  # category -> chart -> kind and tags, as regular expressions
    "loss": {"train and val, nats per target": ["Multiline", ["train/loss$", "val/loss$"]]}
}


class Charts(Callback):
    """Chart of train/loss and val/loss: diverging curves show that the network memorises its training items."""

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the layout once per run; earlier hooks do not know the step of a resumed run."""
        if (writer := event_writer(trainer)) is not None and not trainer.global_step:
            writer.add_custom_scalars(_LAYOUT)
