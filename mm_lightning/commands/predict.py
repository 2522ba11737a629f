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


class SampleBatches:
    """The loader of `predict`: pairs of the sampler and the index of a batch.

    Args:
        sampler: Samples each batch in `predict_step`.
        selection: Determines the number of batches.
    """

    def __init__(self, sampler: BatchSampler, selection: Selection) -> None:
        self._sampler = sampler  # Lightning takes a public `sampler` for the one of a DataLoader
        self.selection = selection

    def __len__(self) -> int:
        return self.selection.max_batches

    def __iter__(self) -> Iterator[tuple[BatchSampler, int]]:
        return ((self._sampler, batch) for batch in self.selection.batches())


class SampleWriter(BasePredictionWriter):
    """Writer of accepted items, batch by batch, or all at the end if they are sorted.

    A progress bar on stderr counts the items. The bar is off if stderr is not a terminal, or if stdout shows the items
    as they are found.

    Args:
        selection: The selection of accepted items.
        format: Order, columns and format of the items.
        is_new: Returns, for each of a list of items, whether the item is absent from the training split; None if the
            training items are unknown.
        labels: Labels of the model, in the order of their numbers.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(
        self,
        selection: Selection,
        format: OutputFormat,
        is_new: Callable[[list[str]], list[bool]] | None,
        labels: Sequence[str] = (),
    ) -> None:
        super().__init__(write_interval="batch")
        self._labels = labels
        self.selection = selection
        self._format = format
        self._is_new = is_new
        self._is_sorted = selection.options.sort != "none"
        self._unsorted: list[Row] = []
        self._output = output = selection.options.output
        self._write_text: Callable[[str], object] = sys.stdout.write
        self._exit_stack = ExitStack()  # gives the file its name, or removes the file
        self._bar: tqdm[Any] = tqdm(disable=True)  # until sampling begins
        if output is not None:
            file = self._exit_stack.enter_context(write_atomically(output, "sampling.output"))
            self._write_text = lambda text: file.write(text.encode())
        self._write_text(format.header)

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        shows_items = self._output is None and not self._is_sorted and sys.stdout.isatty()
        self._bar = tqdm(
            total=self.selection.options.num_samples,
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
        assert isinstance(pl_module, LanguageModel)
        items = self.selection.accept(prediction)
        rows = self._rows_of(items, pl_module)
        if self._is_sorted:
            self._unsorted += rows
        else:
            self._write_text(self._format.lines(rows))
        self._bar.update(len(items))

    def _rows_of(self, items: list[str], model: LanguageModel) -> list[Row]:
        labels = [item.label if isinstance(item, LabelledItem) else None for item in items]
        nll: Sequence[float | None] = [None] * len(items)
        if self._format.needs_nll:
            scored = Items.from_strings(items)
            if self._labels:
                numbers = [self._labels.index(label) for label in labels if label is not None]
                scored = replace(scored, labels=np.array(numbers, np.int32))
            nll = [round(x, 4) for x in score(model.network, model.vocabulary, scored).tolist()]
        is_new: Sequence[bool | None] = [None] * len(items)
        if self._format.has_columns and self._is_new is not None:
            is_new = self._is_new(items)
        return [Row(*row) for row in zip(items, nll, is_new, labels, strict=True)]

    @override
    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.close()
        if self._is_sorted:
            self._write_text(self._format.lines(self._format.ordered(self._unsorted)))
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
    output_format = OutputFormat(sampling, model.vocabulary, has_labels=bool(model.labels))

    def make_sampler(network: Network, options: SamplingOptions) -> ConditionalSampler:
        return ConditionalSampler(network, model.vocabulary, options)

    sampler = label_sampler(make_sampler, model.network, len(model.vocabulary), model.labels, sampling)
    needs_training_items = sampling.only_new or (output_format.has_columns and _has_training_items(datamodule))
    selection = Selection(sampling, datamodule.is_new)
    is_new = datamodule.is_new if needs_training_items else None
    writer = SampleWriter(selection, output_format, is_new, list(model.labels))
    trainer.callbacks.append(writer)  # type: ignore[attr-defined] # set by a connector
    batches = SampleBatches(sampler, selection)
    pl.Trainer.predict(trainer, model, batches, ckpt_path=ckpt_path, return_predictions=False, weights_only=True)
    if shortfall := selection.shortfall():
        raise UserError(shortfall)


def _has_training_items(datamodule: ItemsDataModule) -> bool:
    """Check whether the data file can be read; a checkpoint can be used without the file."""
    try:
        datamodule.setup("predict")
    except UserError:
        return False
    return True
