"""The settings of a run in TensorBoard's HPARAMS tab, with its val/loss."""

import math

import lightning.pytorch as pl
from jsonargparse import dict_to_namespace
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from mm_lightning.data.vocabulary import abbreviated
from mm_lightning.training.callbacks.run_loggers import event_writer


class HyperParameters(Callback):
    """Settings of model and data, written with the metric `val/loss`.

    The tab shows only metrics that are declared together with the settings. Lightning's logger declares
    metrics too, but also adds the declared value to the curve.
    """

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the settings once per run; earlier hooks do not know the step of a resumed run."""
        if (writer := event_writer(trainer)) is None or trainer.global_step:
            return
        from torch.utils.tensorboard.summary import hparams  # noqa: PLC0415 # most commands write no curves

        given = pl_module.hparams
        model = {**given, "alphabet": abbreviated(given["alphabet"]), "labels": ", ".join(given["labels"])}
        groups = {"model": model, "data": trainer.datamodule.hparams}  # type: ignore[attr-defined]
        settings = {
            key: value if isinstance(value, bool | int | float | str) else str(value)
            for key, value in dict_to_namespace({name: dict(group) for name, group in groups.items()}).items()
            if "._" not in key
        }
        for summary in hparams(settings, {"val/loss": math.nan}):  # type: ignore[no-untyped-call]
            writer.file_writer.add_summary(summary)  # type: ignore[attr-defined] # torch says None
