"""Cut the items of a file into train, dev and test splits."""

import random
from array import array
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.items import Items

SPLIT_SEED = 42
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
    order = array("I", range(num_groups))  # a list of the same integers takes ten times the memory
    random.Random(SPLIT_SEED).shuffle(order)
    shuffled = np.asarray(order)
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
