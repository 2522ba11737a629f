"""Cut a file's items into train, dev and test splits."""

import random
from array import array
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.items import Items

SPLIT_SEED = 42
SplitName = Literal["lecture", "unique"]


@dataclass(frozen=True)
class Splits:
    """Train, dev and test words: 80, 10 and 10 in a hundred, after a shuffle by word."""

    train: Items
    dev: Items
    test: Items

    @property
    def all(self) -> tuple[Items, Items, Items]:
        """The three."""
        return self.train, self.dev, self.test


def split_items(words: Items, how: SplitName, source: str) -> Splits:
    """Cut the words into train, dev and test as the lecture does (`random.Random(42).shuffle`).

    Args:
        words: All words.
        how: `lecture` keeps repeats, so that a word can stand in train and in dev; `unique` removes them first.
        source: Named in errors.

    Raises:
        UserError: If a split comes out empty.
    """
    if how == "unique":
        words = words.unique()
    order = array("I", range(len(words)))  # a list of as many numbers takes ten times the memory
    random.Random(SPLIT_SEED).shuffle(order)
    shuffled = np.asarray(order)
    first, second = int(0.8 * len(words)), int(0.9 * len(words))
    parts = {"train": shuffled[:first], "dev": shuffled[first:second], "test": shuffled[second:]}
    for name, part in parts.items():
        if not len(part):
            raise UserError(
                f"{source} has {len(words)} items, which leaves the {name} split empty; at least 6 are needed"
            )
    return Splits(*(words.take(part) for part in parts.values()))
