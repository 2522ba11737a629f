"""Items from the network at the end of every epoch."""

from dataclasses import asdict

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.reading import MAX_LENGTH
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.sampling import SAMPLE_BATCH_SIZE, Sampler, SamplingOptions, sample
from mm_lightning.training.module import LanguageModel

_ROWS = 256  # words begun for the curves: shares within three hundredths, and less than a hundredth of an epoch


class SampleItems(Callback):
    """Print and log a few words after every epoch, each marked if it stands in the training split.

    Every epoch draws with the same random numbers: what changes from line to line is the network. Of 256 words begun,
    or twice those shown, these are the first; the curves quality/... measure them all, as the quality command does. Of
    so few words, likenesses are lower than of many: 256 real ones do not reach 1 either.

    Args:
        num_samples: Items per epoch; 0 for none, and no curves of their quality.
    """

    def __init__(self, num_samples: int = 10) -> None:
        if num_samples < 0:
            raise UserError(f"samples.num_samples is {num_samples}; it must be 0 or more")
        self.num_samples = num_samples
        self._training: TrainingReference | None = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._training = None  # another fit may have other data

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, measure, print, log."""
        if not self.num_samples or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined] # set by Trainer.fit
        assert isinstance(pl_module, LanguageModel)
        assert isinstance(data, ItemsDataModule)
        training = self._training = self._training or TrainingReference.of(data)
        options = SamplingOptions(num_samples=self.num_samples, max_length=min(MAX_LENGTH, 2 * training.max_length))
        rows = min(SAMPLE_BATCH_SIZE, max(_ROWS, 2 * self.num_samples))
        pl_module.network.eval()
        drawn = Sampler(pl_module.network, pl_module.vocabulary, options, rows).sample_batch(0)
        words = drawn[: self.num_samples]
        if len(words) < self.num_samples:  # the same ones, and more from further blocks
            words = sample(pl_module.network, pl_module.vocabulary, options, data.is_new, rows)
        pl_module.network.train()
        _log_quality(trainer, training, Items.from_strings(drawn), rows)
        _show(trainer, pl_module, data, words)


def _log_quality(trainer: pl.Trainer, training: TrainingReference, drawn: Items, num_begun: int) -> None:
    """A curve for each measure; where no word ended in time, for their share only."""
    in_time = training.valid_items(drawn)
    valid = len(in_time) / num_begun
    measures = asdict(training.quality(in_time, valid)) if len(in_time) else {"valid": valid}
    for logger in trainer.loggers:
        logger.log_metrics({f"quality/{name}": value for name, value in measures.items()}, trainer.global_step)


def _show(trainer: pl.Trainer, model: LanguageModel, data: ItemsDataModule, words: list[str]) -> None:
    """Items on a line of stdout and as a table in TensorBoard."""
    marked = [(word, new) for word, new in zip(words, data.is_new(words), strict=True)]
    losses = {"train/loss": model.train_loss, "val/loss": trainer.callback_metrics.get("val/loss")}
    shown = ", ".join(f"{name} {float(loss):.4f}" for name, loss in losses.items() if loss is not None)
    comma = "," if any(" " in word for word in words) else ""
    listed = f"{comma} ".join(word if new else f"[{word}]" for word, new in marked)
    model.print(f"step {trainer.global_step}: {shown}; samples ([in training]): {listed}")
    if isinstance(trainer.logger, TensorBoardLogger):
        rows = "\n".join(f"| {word} | {'new' if new else 'in training'} |" for word, new in marked)
        trainer.logger.experiment.add_text("samples", f"| word | |\n|---|---|\n{rows}", trainer.global_step)
