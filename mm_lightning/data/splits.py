"""Cut the items of a file into train, dev and test splits."""

import random
from array import array
from dataclasses import dataclass
from typing import Literal

import numpy as np

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
        how: `lecture` keeps repeats, so that an item can occur in train and in dev; `unique` removes repeats first;
            `all` removes repeats and puts every item into train.
        source: Name of the file, for errors.

    Raises:
        UserError: If a split is empty.
    """
    if how != "lecture":
        items = items.unique()
    if how == "all":
        return Splits(items, items[:0], items[:0])
    order = array("I", range(len(items)))  # a list of the same integers takes ten times the memory
    random.Random(SPLIT_SEED).shuffle(order)
    shuffled = np.asarray(order)
    dev_start, test_start = int(0.8 * len(items)), int(0.9 * len(items))
    indices = {"train": shuffled[:dev_start], "dev": shuffled[dev_start:test_start], "test": shuffled[test_start:]}
    for name, selected in indices.items():
        if not len(selected):
            raise UserError(
                f"{source} has {len(items)} items, which leaves the {name} split empty; at least 6 are needed"
            )
    return Splits(*(items.take(selected) for selected in indices.values()))
