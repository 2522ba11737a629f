"""The predict command: new items on stdout or in a file."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import BasePredictionWriter
from tqdm import tqdm
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import score
from mm_lightning.files import write_atomically
from mm_lightning.networks.base import Network
from mm_lightning.sampling import (
    BatchSampler,
    ConditionalSampler,
    OutputFormat,
    Row,
    SamplingOptions,
    Selection,
    label_sampler,
)
from mm_lightning.sampling.labels import LabelledItem
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


class Samples:
    """Samples of a model as the options say, as rows with the columns that the output needs.

    Args:
        model: The model, with its weights when the first batch is sampled.
        datamodule: The data, with the training items.
        options: The sampling options.

    Raises:
        UserError: If an option does not suit the model.
    """

    def __init__(self, model: LanguageModel, datamodule: ItemsDataModule, options: SamplingOptions) -> None:
        self._model = model
        self.options = options
        self.format = OutputFormat(options, model.vocabulary, has_labels=bool(model.labels))
        self.sampler = label_sampler(self._make_sampler, model.network, len(model.vocabulary), model.labels, options)
        needs_training_items = options.only_new or (self.format.has_columns and _has_training_items(datamodule))
        self._is_new = datamodule.is_new if needs_training_items else None
        self.selection = Selection(options, datamodule.is_new)

    def _make_sampler(self, network: Network, options: SamplingOptions) -> ConditionalSampler:
        return ConditionalSampler(network, self._model.vocabulary, options)

    def accept(self, items: list[str]) -> list[Row]:
        """Return the rows of the accepted items among sampled ones, in order."""
        items = self.selection.accept(items)
        labels = [item.label if isinstance(item, LabelledItem) else None for item in items]
        is_new: Sequence[bool | None] = [None] * len(items)
        if self.format.has_columns and self._is_new is not None:
            is_new = self._is_new(items)
        return [Row(*row) for row in zip(items, self._nll(items, labels), is_new, labels, strict=True)]

    def _nll(self, items: list[str], labels: list[str | None]) -> Sequence[float | None]:
        """NLL of each item; None where neither a column nor the order needs it."""
        if not self.format.needs_nll:
            return [None] * len(items)
        scored, names = Items.from_strings(items), list(self._model.labels)
        if names:
            numbers = [names.index(label) for label in labels if label is not None]
            scored = replace(scored, labels=np.array(numbers, np.int32))
        return [round(x, 4) for x in score(self._model.network, self._model.vocabulary, scored).tolist()]

    def all_rows(self) -> list[Row]:
        """Sample all rows, in the order of the options.

        Raises:
            UserError: If fewer items than requested were found.
        """
        rows = [row for i in self.selection.batches() for row in self.accept(self.sampler.sample_batch(i))]
        if shortfall := self.selection.shortfall():
            raise UserError(shortfall)
        return rows if self.options.sort == "none" else self.format.ordered(rows)


class SampleBatches:
    """The loader of `predict`: pairs of the sampler and the index of a batch.

    Args:
        samples: The samples; each batch is sampled in `predict_step`.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return self._samples.selection.max_batches

    def __iter__(self) -> Iterator[tuple[BatchSampler, int]]:
        return ((self._samples.sampler, batch) for batch in self._samples.selection.batches())


class SampleWriter(BasePredictionWriter):
    """Writer of accepted items, batch by batch, or all at the end if they are sorted.

    A progress bar on stderr counts the items. The bar is off if stderr is not a terminal, or if stdout shows the items
    as they are found.

    Args:
        samples: The samples.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(self, samples: Samples) -> None:
        super().__init__(write_interval="batch")
        self._samples = samples
        self._is_sorted = samples.options.sort != "none"
        self._unsorted: list[Row] = []
        self._output = output = samples.options.output
        self._write_text: Callable[[str], object] = sys.stdout.write
        self._exit_stack = ExitStack()  # gives the file its name, or removes the file
        self._bar: tqdm[Any] = tqdm(disable=True)  # until sampling begins
        if output is not None:
            file = self._exit_stack.enter_context(write_atomically(output, "sampling.output"))
            self._write_text = lambda text: file.write(text.encode())
        self._write_text(samples.format.header)

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        shows_items = self._output is None and not self._is_sorted and sys.stdout.isatty()
        self._bar = tqdm(
            total=self._samples.options.num_samples,
            unit="item",
            mininterval=0.5,  # seconds
            dynamic_ncols=True,
            leave=False,
            disable=True if shows_items else None,  # None: off without a terminal
        )

    @override
    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        rows = self._samples.accept(prediction)
        if self._is_sorted:
            self._unsorted += rows
        else:
            self._write_text(self._samples.format.lines(rows))
        self._bar.update(len(rows))

    @override
    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.close()
        if self._is_sorted:
            output = self._samples.format
            self._write_text(output.lines(output.ordered(self._unsorted)))
        self._exit_stack.close()

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._bar.close()
        self._exit_stack.__exit__(type(exception), exception, exception.__traceback__)


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str,
    sampling: SamplingOptions = SamplingOptions(),  # noqa: B008 # read only
) -> None:
    """Sample new items and write them, one per line, to stdout or a file.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data, with the training items.
        ckpt_path: Checkpoint to sample from: a file, or last or best for that of the newest run.
        sampling: Sampling options; a token is a character, or a word in a model of sentences.

    Raises:
        UserError: If fewer items than requested were found; the items found are written.
    """
    trainer.require_one_device()
    if trainer.progress_bar_callback is not None:
        raise UserError("trainer.enable_progress_bar is true, but predict has a bar of its own; leave it out")
    samples = Samples(model, datamodule, sampling)
    trainer.callbacks.append(SampleWriter(samples))  # type: ignore[attr-defined] # set by a connector
    batches = SampleBatches(samples)
    pl.Trainer.predict(trainer, model, batches, ckpt_path=ckpt_path, return_predictions=False, weights_only=True)
    if shortfall := samples.selection.shortfall():
        raise UserError(shortfall)


def _has_training_items(datamodule: ItemsDataModule) -> bool:
    """Check whether the data file can be read; a checkpoint can be used without the file."""
    try:
        datamodule.setup("predict")
    except UserError:
        return False
    return True
