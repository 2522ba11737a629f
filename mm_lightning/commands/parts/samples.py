"""Samples of a model, batch by batch: sampling and scoring in one process or in several, and the selection."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import score
from mm_lightning.networks.base import Network
from mm_lightning.sampling.labels import LabelledItem, label_sampler
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.output import OutputFormat, Row
from mm_lightning.sampling.rounds import ALONE, Rounds, Share
from mm_lightning.sampling.selection import Selection
from mm_lightning.sampling.strategy import ConditionalSampler
from mm_lightning.training.module import LanguageModel


def _has_training_items(datamodule: ItemsDataModule) -> bool:
    """Check whether the data file can be read; a checkpoint can be used without the file."""
    try:
        datamodule.setup("predict")
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
        datamodule: The data, with the training items.
        options: The sampling options.
        share: Number of this process, and number of processes, which sample together.

    Raises:
        UserError: If an option does not suit the model.
    """

    def __init__(
        self, model: LanguageModel, datamodule: ItemsDataModule, options: SamplingOptions, share: Share = ALONE
    ) -> None:
        self._model = model
        self.options = options
        self.format = OutputFormat(options, model.vocabulary, has_labels=bool(model.labels))
        self._sampler = label_sampler(self._make_sampler, model.network, len(model.vocabulary), model.labels, options)
        needs_training_items = options.only_new or (self.format.has_columns and _has_training_items(datamodule))
        self._is_new = datamodule.is_new if needs_training_items else None
        self.selection = Selection(options, datamodule.is_new)
        self.batches = Rounds(self._sample, self.selection.max_batches, share)

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
