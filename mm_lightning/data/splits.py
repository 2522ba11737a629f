"""Cut the items of a file into train, dev and test splits."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.items import Items

SPLIT_SEED = 42
_DRAWN_WORDS = 1 << 16  # random words drawn at once
_SWAPS_PER_ROOT = 0.25  # swaps at once, as a share of the square root of the items: some 10 % have a position twice
SplitName = Literal["lecture", "unique", "all"]


@dataclass(frozen=True)
class Splits:
    """Train, dev and test items: 80, 10 and 10 percent of the shuffled items."""

    train: Items
    dev: Items
    test: Items

    @property
    def all(self) -> tuple[Items, Items, Items]:
        """Train, dev and test."""
        return self.train, self.dev, self.test


def _partners(count: int) -> Iterator[NDArray[np.uint32]]:
    """Yield the partners of the positions count - 1, ..., 1 that `random.shuffle` draws, in parts.

    The partner of position i is a word of the Mersenne Twister, cut to the bits of i + 1, that is at most i.
    `random.shuffle` drops larger words, so the position of a word depends on the words before it.
    """
    *key, pos = random.Random(SPLIT_SEED).getstate()[1]
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": np.array(key, np.uint32), "pos": pos}}
    words = np.empty(0, np.uint32)
    high = count - 1
    while high > 0:
        if not len(words):
            words = twister.random_raw(_DRAWN_WORDS).astype(np.uint32)
        bits = (high + 1).bit_length()
        drawn = words >> np.uint32(32 - bits)
        is_partner, was_partner = drawn <= high, np.empty(0, bool)
        while not np.array_equal(is_partner, was_partner):  # each pass corrects at least the first wrong word
            was_partner = is_partner
            is_partner = drawn <= high - (was_partner.cumsum() - was_partner)
        used = np.flatnonzero(is_partner)[: high + 2 - (1 << (bits - 1))]  # further positions have fewer bits
        yield drawn[used]
        high -= len(used)
        is_cut = high > 0 and (high + 1).bit_length() < bits
        words = words[int(used[-1]) + 1 :] if is_cut else words[:0]


def _swap(order: NDArray[np.uint32], high: int, partners: NDArray[np.uint32]) -> None:
    """Swap the entries at the positions high, high - 1, ... with the entries at their partners, one after the other."""
    low = high - len(partners)
    rising = np.sort(partners)
    if rising[-1] <= low and (rising[1:] != rising[:-1]).all():  # no position is there twice: the swaps are one
        rows = order[low + 1 : high + 1][::-1]
        swapped = order[partners]
        order[partners] = rows
        rows[:] = swapped
        return
    for i, j in zip(range(high, low, -1), partners.tolist(), strict=True):
        order[i], order[j] = order[j], order[i]


def shuffled_order(count: int) -> NDArray[np.uint32]:
    """Shuffle `range(count)` (count,) exactly as `random.Random(SPLIT_SEED).shuffle`, in blocks of swaps."""
    order = np.arange(count, dtype=np.uint32)
    high = count - 1
    for partners in _partners(count):
        first = 0
        while first < len(partners):
            block = partners[first : first + max(1, int(_SWAPS_PER_ROOT * math.sqrt(high)))]
            _swap(order, high, block)
            high -= len(block)
            first += len(block)
    return order


def split_items(items: Items, how: SplitName, source: str) -> Splits:
    """Cut the items into train, dev and test as the lecture does (`random.Random(42).shuffle`).

    Args:
        items: All items.
        how: `lecture` keeps repeats, so that an item can occur in train and in dev; `unique` removes repeats first,
            and keeps an item with several labels in one split; `all` removes repeats and puts all items into train.
        source: Name of the file, for errors.

    Raises:
        UserError: If a split is empty.
    """
    if how != "lecture":
        items = items.unique()
    if how == "all":
        return Splits(items, items[:0], items[:0])
    groups = _texts(items) if how == "unique" and items.labels is not None else None
    num_groups = len(items) if groups is None else int(groups.max()) + 1
    shuffled = shuffled_order(num_groups)
    dev_start, test_start = int(0.8 * num_groups), int(0.9 * num_groups)
    indices = {"train": shuffled[:dev_start], "dev": shuffled[dev_start:test_start], "test": shuffled[test_start:]}
    for name, selected in indices.items():
        if not len(selected):
            raise UserError(
                f"{source} has {num_groups} items, which leaves the {name} split empty; at least 6 are needed"
            )
    if groups is None:
        return Splits(*(items.take(selected) for selected in indices.values()))
    place = np.argsort(shuffled)[groups]  # of each item's text among the shuffled texts
    rows = np.argsort(place, kind="stable")
    cuts = np.searchsorted(place[rows], [dev_start, test_start])
    return Splits(*(items.take(selected) for selected in np.split(rows, cuts)))


def _texts(items: Items) -> NDArray[np.int64]:
    """Number the different texts (num_items,) by their first occurrence, whatever the labels."""
    _, first, inverse = np.unique(items.hashes(), return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]
