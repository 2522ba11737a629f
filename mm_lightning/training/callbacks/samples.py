"""Samples at the end of epochs."""

from dataclasses import asdict

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.files.reading import MAX_LENGTH
from mm_lightning.data.items import Items
from mm_lightning.data.ranges import BatchLimit
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.networks.base import Network
from mm_lightning.sampling.labels import BatchSampler, label_sampler
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.sampler import Sampler
from mm_lightning.sampling.selection import Selection
from mm_lightning.training.callbacks.averaging import averaged_weights
from mm_lightning.training.callbacks.milestones import LINES, SAMPLES, is_at
from mm_lightning.training.callbacks.run_loggers import event_writer
from mm_lightning.training.module import LanguageModel

_MIN_ROWS = 256  # samples for the curves: shares are exact to about 0.03, at under a hundredth of an epoch's time


class SampleItems(Callback):
    """Callback that logs samples after epochs, prints them, and marks the samples in the train split.

    Samples come at milestones and at the end: at the end of each epoch of 512 steps or more, and more rarely where
    epochs are short. Printed lines lie further and further apart, so that a run fits on a screen.

    All samples of a run have the same random numbers, so that only the network changes from line to line. The callback
    samples 256 items, or twice the number of printed items. The curves val_quality/... measure all of them, as the
    quality command does. Similarities of few items are low: 256 real items do not reach 1 either.

    Args:
        num_samples: Number of printed items; 0 turns off the curves too, and leaves the losses in the printed lines.
    """

    def __init__(self, num_samples: BatchLimit = 10) -> None:
        self.num_samples = num_samples
        self._training: TrainingReference | None = None
        self._sampled_step = -1
        self._line: str | None = None  # of the last losses and samples, until printed

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._training = None  # another fit may have other data

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if is_at(SAMPLES, trainer, epoch):
            self._sample(trainer, pl_module)
            if is_at(LINES, trainer, epoch):
                self._print_line(pl_module)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sample and print, unless the last epoch's end has."""
        if trainer.global_step != self._sampled_step:
            self._sample(trainer, pl_module)
        self._print_line(pl_module)

    def _print_line(self, pl_module: pl.LightningModule) -> None:
        if self._line is not None:
            pl_module.print(self._line)
        self._line = None

    def _sample(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Sample, log, and keep the line to print."""
        if not trainer.is_global_zero:
            return
        self._sampled_step = trainer.global_step
        data = trainer.datamodule  # type: ignore[attr-defined] # set by Trainer.fit
        assert isinstance(pl_module, LanguageModel)
        assert isinstance(data, ItemsDataModule)
        parts = [_losses(trainer, pl_module, data)]
        if self.num_samples:
            items = self._log_samples(trainer, pl_module, data)
            parts.append(f"samples ([in training]): {_log_items(trainer, data, items)}")
        line = "; ".join(filter(None, parts))
        self._line = f"step {trainer.global_step}: {line}" if line else None

    def _log_samples(self, trainer: pl.Trainer, pl_module: LanguageModel, data: ItemsDataModule) -> list[str]:
        """Sample, and log the quality; return the items to print."""
        training = self._training = self._training or TrainingReference.of(data)
        options = SamplingOptions(num_samples=self.num_samples, max_length=min(MAX_LENGTH, 2 * training.max_length))
        num_rows = min(SAMPLE_BATCH_SIZE, max(_MIN_ROWS, 2 * self.num_samples))
        pl_module.network.eval()
        try:
            with averaged_weights(trainer, pl_module):
                sampler = _sampler(pl_module, options, num_rows)
                first_batch = sampler.sample_batch(0)
                items = first_batch[: self.num_samples]
                if len(items) < self.num_samples:  # the same items, and more from further batches
                    items = Selection(options, data.is_new, lambda: num_rows).items_of(sampler.sample_batch)
        except UserError:  # nothing else can be refused here
            raise pl_module.divergence("the logits are no longer finite, or far too large,") from None
        pl_module.network.train()
        _log_quality(trainer, training, Items.from_strings(first_batch), num_rows)
        return items


def _sampler(model: LanguageModel, options: SamplingOptions, num_rows: int) -> BatchSampler:
    """Make the sampler of the model; of a model with labels, that of a mixture as in training."""

    def make_sampler(network: Network, options: SamplingOptions) -> Sampler:
        return Sampler(network, model.vocabulary, options, num_rows)

    return label_sampler(make_sampler, model.network, len(model.vocabulary), model.labels, options)


def _log_quality(trainer: pl.Trainer, training: TrainingReference, samples: Items, num_rows: int) -> None:
    """Log a point of each measure; without a valid item, only the share of valid items."""
    items = training.valid_items(samples)
    valid = len(items) / num_rows
    measures = asdict(training.quality(items, valid)) if len(items) else {"valid": valid}
    for logger in trainer.loggers:
        logger.log_metrics({f"val_quality/{name}": value for name, value in measures.items()}, trainer.global_step)


def _losses(trainer: pl.Trainer, model: LanguageModel, data: ItemsDataModule) -> str:
    """List the last losses, and how items count in them."""
    losses = {"train/loss": model.train_loss, "val/loss": trainer.callback_metrics.get("val/loss")}
    listed = ", ".join(f"{name} {float(loss):.4f}" for name, loss in losses.items() if loss is not None)
    return f"{listed} ({data.loss_note})" if data.loss_note and listed else listed


def _log_items(trainer: pl.Trainer, data: ItemsDataModule, items: list[str]) -> str:
    """Log the items as a table in TensorBoard; return the list of them."""
    marked = list(zip(items, data.is_new(items), strict=True))
    if (writer := event_writer(trainer)) is not None:
        rows = "\n".join(f"| {item} | {'new' if is_new else 'in training'} |" for item, is_new in marked)
        writer.add_text("samples", f"| word | |\n|---|---|\n{rows}", trainer.global_step)
    comma = "," if any(" " in item for item in items) else ""
    return f"{comma} ".join(item if is_new else f"[{item}]" for item, is_new in marked)
