"""Quality of generated items in comparison with the training items.

The measures follow MOSES (Polykovskiy et al. 2020) and GuacaMol (Brown et al. 2019), made for generated molecules. No
single measure suffices: copies of training items are valid, and random characters are new.

Lengths and bigrams count tokens: characters, or words for a model of sentences. All words outside the vocabulary
are one token. Items are compared by their text, to find new and equal items.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.items import Items, isin_sorted
from mm_lightning.data.vocabulary import Vocabulary

if TYPE_CHECKING:  # imports torch, which the measures do not need
    from mm_lightning.data.datamodule import ItemsDataModule

_MAX_REFERENCE_ITEMS = 250_000  # spread evenly, as a list may be sorted; 2 million bigrams of names
_BOUNDARY = (1 << 31) - 1  # above every id

Histogram = tuple[NDArray[np.integer], NDArray[np.float64]]  # distinct values, rising, and the count of each


@dataclass(frozen=True)
class Quality:
    """Measures of generated items, each between 0 and 1.

    A similarity is exp(-KL) from the distribution among training items to that among generated items, 1 where both are
    equal. Add-one smoothing keeps it above 0; the fewer the items, the more it lowers the result.

    Args:
        valid: Share of samples that ended within the longest training item's length.
        unique: Different items as a share of the valid ones.
        new: Share of the different items that the train split lacks.
        lengths: Similarity of the distribution of lengths.
        first: Similarity of the distribution of first tokens.
        last: Similarity of the distribution of last tokens.
        bigrams: Similarity of the distribution of pairs of adjacent tokens, boundaries included.
    """

    valid: float
    unique: float
    new: float
    lengths: float
    first: float
    last: float
    bigrams: float


def _bigrams(tokens: Items) -> NDArray[np.int64]:
    """(num_tokens + num_items,) one number for each pair of adjacent tokens, boundaries included."""
    positions = tokens.offsets + np.arange(len(tokens) + 1)  # a boundary before each item and one after the last
    stream = np.full(len(tokens.code_points) + len(tokens) + 1, _BOUNDARY, np.int64)
    is_token = np.ones(len(stream), bool)
    is_token[positions] = False
    stream[is_token] = tokens.code_points
    return stream[:-1] * (_BOUNDARY + 1) + stream[1:]


def _histograms(tokens: Items) -> dict[str, Histogram]:
    """Count lengths, first tokens, last tokens and bigrams of items, none of them empty.

    Items with weights count by weight, in units of their mean weight.
    """
    weights = np.ones(len(tokens)) if tokens.weights is None else tokens.weights / tokens.weights.mean()
    values = {
        "lengths": tokens.lengths,
        "first": tokens.code_points[tokens.offsets[:-1]],
        "last": tokens.code_points[tokens.offsets[1:] - 1],
    }
    result = {name: _histogram(each, weights) for name, each in values.items()}
    result["bigrams"] = _histogram(_bigrams(tokens), np.repeat(weights, tokens.lengths + 1))
    return result


def _histogram(values: NDArray[np.integer], weights: NDArray[np.float64]) -> Histogram:
    distinct, inverse = np.unique(values, return_inverse=True)
    counts: NDArray[np.float64] = np.bincount(inverse, weights).astype(np.float64)
    return distinct, counts


def _smoothed_shares(values: NDArray[np.integer], histogram: Histogram) -> NDArray[np.float64]:
    """Compute the share of each value after adding one to its count."""
    result = np.ones(len(values))
    result[np.searchsorted(values, histogram[0])] += histogram[1]
    shares: NDArray[np.float64] = result / result.sum()
    return shares


def _similarity(expected: Histogram, found: Histogram) -> float:
    """Compute exp(-KL(expected || found)), with add-one smoothing over the values of both."""
    values = np.union1d(expected[0], found[0])
    p, q = (_smoothed_shares(values, histogram) for histogram in (expected, found))
    return float(np.exp(-(p * np.log(p / q)).sum()))


def unique_share(items: Items, count: int) -> float | None:
    """Compute the share of different items among the first `count`; None for fewer items."""
    return len(items[:count].without_labels().unique()) / count if len(items) >= count else None


class TrainingReference:
    """The train split as the reference of all measures; costly parts are computed once, on first use.

    Args:
        items: The training items.
        vocabulary: Map between items and tokens.
        hashes: (num_items,) hashes of the training items, sorted.
        max_length: Tokens of the longest training item.
    """

    def __init__(self, items: Items, vocabulary: Vocabulary, hashes: NDArray[np.uint64], max_length: int) -> None:
        self._items = items
        self._vocabulary = vocabulary
        self._hashes = hashes
        self.max_length = max_length

    @classmethod
    def of(cls, datamodule: "ItemsDataModule") -> "TrainingReference":
        """Create the reference from a datamodule's train split."""
        max_length = int(datamodule.examples.lengths.max())
        return cls(datamodule.splits.train, datamodule.vocabulary, datamodule.train_hashes, max_length)

    def valid_items(self, items: Items) -> Items:
        """Select the items no longer than the longest training item."""
        return items.take(np.flatnonzero(self.tokens(items).lengths <= self.max_length))

    def new_items(self, items: Items) -> Items:
        """Select the items that the train split lacks, each once, in the order of their first occurrence."""
        distinct = items.without_labels().unique()
        return distinct.take(np.flatnonzero(~isin_sorted(distinct.hashes(), self._hashes)))

    def quality(self, items: Items, valid: float) -> Quality:
        """Measure items.

        Args:
            items: Valid items, at least one.
            valid: Their share of all samples.
        """
        num_distinct = len(items.without_labels().unique())
        histograms = _histograms(self.tokens(items))
        similarities = {name: _similarity(expected, histograms[name]) for name, expected in self._histograms.items()}
        return Quality(
            valid=valid,
            unique=num_distinct / len(items),
            new=len(self.new_items(items)) / num_distinct,
            **similarities,
        )

    def hit_rate(self, items: Items, split: Items) -> float | None:
        """Compute the share of a split's new items, each counted once, that occur among `items`.

        Returns:
            The share, or None for a split without new items.
        """
        unseen = self.new_items(split)
        return float(np.mean(np.isin(unseen.hashes(), items.hashes()))) if len(unseen) else None

    def tokens(self, items: Items) -> Items:
        """Replace code points by one id per token."""
        ids, lengths = self._vocabulary.encode(items)
        return Items(ids.view(f"u{ids.itemsize}"), np.concatenate([[0], np.cumsum(lengths)]), items.weights)

    @cached_property
    def distinct(self) -> Items:
        """The training items, each once."""
        return self._items.without_labels().unique()

    @cached_property
    def distinct_tokens(self) -> Items:
        """The tokens of the distinct training items."""
        return self.tokens(self.distinct)

    @cached_property
    def _histograms(self) -> dict[str, Histogram]:
        num_items = len(self._items)
        places = np.linspace(0, num_items, min(num_items, _MAX_REFERENCE_ITEMS), endpoint=False, dtype=np.int64)
        return _histograms(self.tokens(self._items.take(places)))
