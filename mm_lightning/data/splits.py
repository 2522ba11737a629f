"""Cut the items of files into train, dev and test splits."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.files.lists import join_files, listed_paths, read_files, renumbered, unknown_characters
from mm_lightning.data.files.tables import Columns
from mm_lightning.data.items import Items, isin_sorted
from mm_lightning.data.ranges import VocabularySize
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary, check_vocabulary_settings, make_vocabulary

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
            counted = ("different " if how == "unique" else "") + ("item" if num_groups == 1 else "items")
            raise UserError(
                f"{source} has {num_groups} {counted}, which leaves the {name} split empty; at least 6 are needed"
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


class SplitItems:
    """Items of files, split, with the vocabulary and the labels that they give; read when they are first needed.

    `ItemsDataModule` makes batches of them. The descriptions here are the help of `fit` and its kind, and of `report`.

    Args:
        path: Text file with one item per line, or a table (.csv, .tsv), in UTF-8, or UTF-16 with a byte order mark.
            Several files, separated by commas or as a list, are one list. data/names.txt and data/sentences.txt come
            with the package.
        split: lecture keeps repeated items, as the lecture does; unique removes repeats before splitting; all removes
            repeats and trains on every item, without dev and test.
        tokens: Unit of an id. characters for names and the like; words for sentences, separated by white space.
        max_vocab: Largest number of ids; only with tokens words. The ids are the boundary, <unk> for
            unknown words, and the most frequent words of the train split; null for all words of the train split.
        alphabet: Characters in one string, or a list of <unk> and the words; null takes them from the data. A
            checkpoint sets it.
        item: Column of the items; files are then tables with the names of the columns in the first line.
        label: Column of the labels, such as sex, or file for the name of an item's file. The model learns items given
            their labels.
        weight: Column of weights, whole numbers from 1 up: how many times an item counts in training and in losses.
        labels: How often the training items have each label; null takes them from the data. A checkpoint sets it.

    Raises:
        UserError: If a setting contradicts another.
    """

    def __init__(
        self,
        path: str | list[str],
        split: SplitName,
        tokens: Literal["characters", "words"],
        max_vocab: VocabularySize | None,
        alphabet: str | list[str] | None,
        item: str | None,
        label: str | None,
        weight: str | None,
        labels: dict[str, int] | None,
    ) -> None:
        check_vocabulary_settings(tokens, max_vocab, alphabet)
        self.path = listed_paths(path)  # for messages
        self._paths = path
        self._columns = Columns(item, label, weight)
        self.loss_note = self._columns.loss_note
        self._labels = labels
        self._label_names: list[str] = []  # set with the splits
        self.split: SplitName = split
        self.tokens = tokens
        self.max_vocab = max_vocab
        self._alphabet = alphabet

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Vocabulary of the given alphabet, else of the characters of the file or the words of the train split."""
        if self._alphabet is not None:
            return make_vocabulary(self._alphabet)
        if self.tokens == "words":
            return WordVocabulary.from_sentences(self.splits.train, self.max_vocab)
        return Vocabulary("".join(sorted(set().union(*(items.alphabet() for items in self.splits.all)))))

    @property
    def alphabet(self) -> str | list[str]:
        """Alphabet of the vocabulary, for the model's checkpoint."""
        return self.vocabulary.alphabet

    @cached_property
    def splits(self) -> Splits:
        """Train, dev and test items; sentences that differ in white space only are equal."""
        items, self._label_names = join_files(read_files(self._paths, self._columns))
        if self._labels is not None:
            items = renumbered(items, self._label_names, list(self._labels), self.path)
        return split_items(items.single_spaced() if self.tokens == "words" else items, self.split, self.path)

    @cached_property
    def labels(self) -> dict[str, int]:
        """How often the training items have each label, by weight, for the model's checkpoint; empty without labels."""
        if self._labels is not None:
            return self._labels
        train = self.splits.train  # finds the names
        return dict(zip(self._label_names, train.label_weights(len(self._label_names)), strict=True))

    def check(self) -> None:
        """Read the files, and check the characters of the items.

        Raises:
            UserError: If a file cannot be read, or has characters outside the alphabet.
        """
        if unknown := sorted(set().union(*map(self.vocabulary.unknown_characters, self.splits.all))):
            raise unknown_characters(unknown, self._paths, self._columns)

    @cached_property
    def _train_hashes_and_digest(self) -> tuple[NDArray[np.uint64], str]:
        return self.splits.train.sorted_hashes_and_digest()

    @property
    def train_hashes(self) -> NDArray[np.uint64]:
        """(num_items,) hashes of the training items, sorted."""
        return self._train_hashes_and_digest[0]

    @property
    def digest(self) -> str:
        """Checksum of the training items in their order, with their weights and labels, in hexadecimal."""
        return self._train_hashes_and_digest[1]

    def is_in_training(self, items: Items) -> NDArray[np.bool_]:
        """Mask (num_items,) of the items that the train split has."""
        return isin_sorted(items.hashes(), self.train_hashes)

    def is_new(self, strings: list[str]) -> list[bool]:
        """Mask of the items that the train split does not have."""
        return [not is_known for is_known in self.is_in_training(Items.from_strings(strings)).tolist()]
