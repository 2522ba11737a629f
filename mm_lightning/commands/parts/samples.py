"""Samples of a model, batch by batch: sampling and scoring in one process or in several, selection, and output."""

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
from tqdm import tqdm

from mm_lightning import UserError
from mm_lightning.commands.parts.own_data import check_own
from mm_lightning.commands.parts.roles import Trained, TrainingItems
from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import score
from mm_lightning.files import write_atomically
from mm_lightning.networks.base import Network
from mm_lightning.networks.parts.threads import use_one_thread_if_small
from mm_lightning.sampling.labels import LabelledItem, label_sampler
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.output import OutputFormat, Row
from mm_lightning.sampling.rounds import ALONE, Rounds, Share
from mm_lightning.sampling.selection import Selection
from mm_lightning.sampling.strategy import ConditionalSampler


def _are_known(data: TrainingItems, ckpt_path: Path) -> bool:
    """Check whether the training items can be read; a checkpoint can be used without them."""
    try:
        data.check()
        check_own(data, ckpt_path)
    except UserError:
        return False
    return True


class Batch(NamedTuple):
    """Sampled items of one batch, and the NLL of each in nats; None where neither a column nor the order needs it."""

    items: list[str]
    nll: Sequence[float | None]


class Samples:
    """Samples of a model as the options say, as rows with the columns that the output needs.

    Args:
        model: The model, with its weights when the first batch is sampled.
        data: The training items.
        options: The sampling options.
        ckpt_path: The checkpoint of the model.
        share: Number of this process, and number of processes, which sample together.

    Raises:
        UserError: If an option does not suit the model, or needs training items that are not at hand.
    """

    def __init__(
        self, model: Trained, data: TrainingItems, options: SamplingOptions, ckpt_path: Path, share: Share = ALONE
    ) -> None:
        self._model = model
        self.options = options
        self.format = OutputFormat(options, model.vocabulary, has_labels=bool(model.labels))
        self._sampler = label_sampler(self._make_sampler, model.network, len(model.vocabulary), model.labels, options)
        if options.only_new:
            check_own(data, ckpt_path)
        is_known = options.only_new or (self.format.has_columns and _are_known(data, ckpt_path))
        self._is_new = data.is_new if is_known else None
        self.selection = Selection(options, data.is_new, lambda: self._sampler.num_rows)
        self.batches = Rounds(self._sample, self.selection.max_batches, share)
        use_one_thread_if_small(model.network.num_parameters * SAMPLE_BATCH_SIZE)

    def _make_sampler(self, network: Network, options: SamplingOptions) -> ConditionalSampler:
        return ConditionalSampler(network, self._model.vocabulary, options)

    def _sample(self, number: int) -> Batch:
        """Sample the batch with this number. The NLL, which takes most of the time, is that of all its items."""
        items = self._sampler.sample_batch(number)
        if not self.format.needs_nll:
            return Batch(items, [None] * len(items))
        scored, names = Items.from_strings(items), list(self._model.labels)
        if names:
            numbers = [names.index(item.label) for item in items if isinstance(item, LabelledItem)]
            scored = replace(scored, labels=np.array(numbers, np.int32))
        nll = score(self._model.network, self._model.vocabulary, scored)
        return Batch(items, [round(x, 4) for x in nll.tolist()])

    def accept(self, batch: Batch) -> list[Row]:
        """Return the rows of the accepted items of a batch, in order."""
        chosen = self.selection.choose(batch.items)
        items = [batch.items[i] for i in chosen]
        labels = [item.label if isinstance(item, LabelledItem) else None for item in items]
        is_new: Sequence[bool | None] = [None] * len(items)
        if self.format.has_columns and self._is_new is not None:
            is_new = self._is_new(items)
        nll = [batch.nll[i] for i in chosen]
        return [Row(*row) for row in zip(items, nll, is_new, labels, strict=True)]

    def all_rows(self) -> list[Row]:
        """Sample all rows, in the order of the options.

        Raises:
            UserError: If fewer items than requested were found.
        """
        rows = [row for i in self.selection.batches() for row in self.accept(self.batches.result(i))]
        if shortfall := self.selection.shortfall():
            raise UserError(shortfall)
        return rows if self.options.sort == "none" else self.format.ordered(rows)


def item_bar(total: int, is_shown: bool, text: str | None = None) -> "tqdm[Any]":
    """Return a progress bar on stderr that counts items, if it is to be shown and stderr is a terminal."""
    return tqdm(
        desc=text,
        total=total,
        unit="item",
        mininterval=0.5,  # seconds
        dynamic_ncols=True,
        leave=False,
        disable=None if is_shown else True,  # None: off without a terminal
    )


class SampleOutput:
    """Output of accepted items, batch by batch, or all at the end if they are sorted; a context that ends the output.

    A progress bar on stderr counts the items. The bar is off if stderr is not a terminal, or if stdout shows the items
    as they are found. A file takes its name at the end, and is removed after an error.

    Args:
        samples: The samples.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(self, samples: Samples) -> None:
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
        self._exit_stack.push(self._write_sorted)
        self._write_text(samples.format.header)

    def __enter__(self) -> Self:
        """Show the bar."""
        shows_items = self._output is None and not self._is_sorted and sys.stdout.isatty()
        self._bar = item_bar(self._samples.options.num_samples, is_shown=not shows_items)
        return self

    def write(self, batch: Batch) -> None:
        """Write the accepted items of a batch, or keep them for the end."""
        rows = self._samples.accept(batch)
        if self._is_sorted:
            self._unsorted += rows
        else:
            self._write_text(self._samples.format.lines(rows))
        self._bar.update(len(rows))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write sorted items and complete the file; after an error, remove the file."""
        self._bar.close()
        self._exit_stack.__exit__(kind, error, traceback)

    def _write_sorted(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._is_sorted:
            output = self._samples.format
            self._write_text(output.lines(output.ordered(self._unsorted)))


def write_all(samples: Samples) -> None:
    """Write all samples, in this process alone.

    Raises:
        UserError: If the file cannot be written, or fewer items than requested were found; the items found are written.
    """
    with SampleOutput(samples) as output:
        for number in samples.selection.batches():
            output.write(samples.batches.result(number))
    if shortfall := samples.selection.shortfall():
        raise UserError(shortfall)
