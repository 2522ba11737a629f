"""Samples of models with labels: of one label's items, or of a mixture of labels.

A network reads the label in every id, so a view of the network for one label is a network without labels: conditions,
tables and search need no change. A mixture draws the labels of the items first, from random numbers of their own.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning import UserError
from mm_lightning.networks.base import Network
from mm_lightning.networks.parts.label_view import LabelView
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions

_STREAM = 1  # of the random numbers for labels, beside those for items


class BatchSampler(Protocol):
    """Sampler of items, batch by batch."""

    @property
    def num_rows(self) -> int:
        """Samples of each batch, whether or not they become items."""
        ...

    def sample_batch(self, batch: int) -> list[str]:
        """Sample the batch with this index."""
        ...


class LabelledItem(str):
    """An item with its label."""

    label: str

    @classmethod
    def of(cls, item: str, label: str) -> "LabelledItem":
        """Add a label to an item."""
        result = cls(item)
        result.label = label
        return result


def label_shares(mixture: str | None, labels: Mapping[str, int]) -> dict[str, float]:
    """Compute the share of each label among samples; a label without samples is left out.

    Args:
        mixture: A label, or labels with shares, as in "F:0.7,M:0.3"; None for the shares in training.
        labels: How often the training items have each label; empty for a model without labels.

    Raises:
        UserError: If the model has no labels, a label is unknown, or the mixture cannot be read.
    """
    if mixture is None:
        shares: dict[str, float] = {name: count for name, count in labels.items() if count}
    elif not labels:
        raise UserError(f"sampling.label is {mixture}, but the model has no labels; leave it out")
    elif mixture in labels:
        shares = {mixture: 1.0}
    else:
        shares = _parse(mixture)
        if unknown := sorted(set(shares).difference(labels)):
            raise UserError(
                f"sampling.label is {mixture}, but the model has no label {unknown[0]}; it has {', '.join(labels)}"
            )
    largest = max(shares.values(), default=1)  # the sum of the shares could be too large for a number
    total = sum(share / largest for share in shares.values())
    return {name: share / largest / total for name, share in shares.items()}


def _parse(mixture: str) -> dict[str, float]:
    """Parse labels with shares."""
    if ":" not in mixture:
        return {mixture: 1.0}
    shares: dict[str, float] = {}
    for part in mixture.split(","):
        name, _, text = part.strip().rpartition(":")
        try:
            share = float(text)
        except ValueError:
            share = math.nan
        if not name or not 0 < share < math.inf or name in shares:
            raise UserError(
                f"sampling.label is {mixture}, which cannot be read at {part.strip()!r}; give one label, or different "
                "labels with shares above 0, as in F:0.7,M:0.3"
            )
        shares[name] = share
    return shares


class LabelMixture:
    """Sampler of items of several labels; an item's label is drawn by the shares, then the item given the label.

    The labels of a batch's items depend on (seed, batch) alone. Each label has a sampler of its own, and its items are
    taken in their order. A batch ends where the shortest batch of a label could end: to end where a label's items run
    out would leave out that label more often than the others.

    Args:
        samplers: The sampler of each label, by name.
        shares: The share of each label; the sum is 1.
        seed: Seed of the labels.
    """

    def __init__(self, samplers: Mapping[str, BatchSampler], shares: Mapping[str, float], seed: int) -> None:
        self._samplers = samplers
        self._shares = [shares[name] for name in samplers]
        self._seed = seed

    @property
    def num_rows(self) -> int:
        """Samples of each batch: those of the shortest."""
        return min(sampler.num_rows for sampler in self._samplers.values())

    def sample_batch(self, batch: int) -> list[str]:
        """Sample the batch with this index; each item is a `LabelledItem`."""
        items = {name: self._items_of(name, batch) for name in self._samplers}
        names = list(items)
        generator = np.random.default_rng([self._seed, batch, _STREAM])
        num_items = min(map(len, items.values()))
        drawn = generator.choice(len(names), max(num_items, SAMPLE_BATCH_SIZE), p=self._shares)[:num_items]
        rest = {name: iter(own) for name, own in items.items()}
        return [LabelledItem.of(next(rest[names[i]]), names[i]) for i in drawn.tolist()]

    def _items_of(self, name: str, batch: int) -> list[str]:
        """Sample a batch of a label; say once which label has no items, as a mixture can have none then."""
        try:
            items = self._samplers[name].sample_batch(batch)
        except UserError as error:
            raise UserError(f"label {name}: {error}" if len(self._samplers) > 1 else f"{error}") from None
        if not items and not batch and len(self._samplers) > 1:
            rank_zero_info(f"label {name}: none of the first samples is an item; sampling.label chooses other labels")
        return items


def label_sampler(
    make_sampler: Callable[[Network, SamplingOptions], BatchSampler],
    network: Network,
    vocab_size: int,
    labels: Mapping[str, int],
    options: SamplingOptions,
) -> BatchSampler:
    """Make the sampler of a network, with or without labels.

    Args:
        make_sampler: Makes the sampler of a network without labels under sampling options.
        network: The network.
        vocab_size: Number of ids V.
        labels: How often the training items have each label, in the order of the labels' numbers; empty without labels.
        options: The sampling options.

    Raises:
        UserError: If `label` does not suit the model, or is a mixture and `beam` is set.
    """
    shares = label_shares(options.label, labels)
    if options.beam is not None and len(shares) > 1:
        raise UserError(
            f"sampling.beam is {options.beam}, but the most likely items are those of one label; "
            f"set --sampling.label to one of {', '.join(shares)}"
        )
    if not labels:
        return make_sampler(network, options)
    samplers = {}
    for number, name in enumerate(labels):
        if name in shares:  # with the same random numbers, items of two labels would resemble each other
            seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
            samplers[name] = make_sampler(LabelView(network, vocab_size, number), replace(options, seed=seed))
    return LabelMixture(samplers, shares, options.seed)
