"""Splits, against the lecture's shuffle and its sizes."""

import random
import re
from pathlib import Path

import numpy as np
import pytest

from mm_lightning.data.files.reading import read_items
from mm_lightning.data.items import Items
from mm_lightning.data.splits import shuffled_order, split_items


@pytest.mark.parametrize("count", [6, 10, 99, 1000])
@pytest.mark.parametrize("how", ["lecture", "unique"])
def test_items_are_shuffled_and_cut_as_in_the_lecture(how: str, count: int):
    """Catches another shuffle, seed or rounding than random.Random(42).shuffle and int(0.8 n), int(0.9 n)."""
    strings = [f"word{i}" for i in range(count)] * 2
    result = split_items(Items.from_strings(strings), how, "text")
    expected = strings if how == "lecture" else strings[:count]
    random.Random(42).shuffle(expected)
    first, second = int(0.8 * len(expected)), int(0.9 * len(expected))
    assert [*map(list, (result.train, result.dev, result.test))] == [
        expected[:first],
        expected[first:second],
        expected[second:],
    ]


def test_lecture_split_of_makemores_names(makemore: Path):
    """Catches any departure from the lecture's data, whose published losses would no longer be comparable."""
    result = split_items(read_items(makemore), "lecture", "names")
    assert [len(split) for split in result.all] == [25_626, 3_203, 3_204]
    assert [len(split.code_points) + len(split) for split in result.all] == [182_625, 22_655, 22_866]
    assert np.isin(result.dev.hashes(), result.train.hashes()).sum() == 424
    train = set(result.train)
    assert sum(item in train for item in result.dev) == 424


def test_unique_split_has_no_item_on_two_sides(makemore: Path):
    """Catches a loss called "unseen" that was measured on items of the train split."""
    result = split_items(read_items(makemore), "unique", "names")
    train, dev, test = map(set, result.all)
    assert len(train) + len(dev) + len(test) == len(train | dev | test) == len(set(read_items(makemore)))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_file_too_small_to_split_is_an_error(count: int):
    """Catches training without validation, or on nothing, without an error."""
    with pytest.raises(ValueError, match=r"text .*leaves the (train|dev) split empty"):
        split_items(Items.from_strings(f"word{i}" for i in range(count)), "lecture", "text")


def test_repeats_do_not_make_a_file_large_enough():
    """Catches items that are counted before the repeats are removed, and an error that does not say so."""
    with pytest.raises(ValueError, match=r"^text has 2 different items, which leaves the dev split empty"):
        split_items(Items.from_strings(["emma", "ava"] * 10), "unique", "text")
    with pytest.raises(ValueError, match=r"^text has 1 different item, which leaves the train split empty"):
        split_items(Items.from_strings(["emma"] * 10), "unique", "text")


def test_the_error_names_the_smallest_sufficient_number_of_items():
    """Catches an error that asks for more or fewer items than needed."""
    with pytest.raises(ValueError, match=r"at least \d+ are needed") as raised:
        split_items(Items.from_strings(["emma"]), "lecture", "text")
    least = int(re.findall(r"at least (\d+)", str(raised.value))[0])
    assert len(split_items(Items.from_strings(["emma"] * least), "lecture", "text").dev) == 1
    with pytest.raises(ValueError, match="split empty"):
        split_items(Items.from_strings(["emma"] * (least - 1)), "lecture", "text")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8, 9, 255, 256, 257, 4_096, 70_000, 300_001])
def test_items_are_shuffled_as_python_shuffles_them(count: int):
    """Catches a swap out of turn, a word drawn with the wrong number of bits, and a part that begins too late."""
    expected = list(range(count))
    random.Random(42).shuffle(expected)
    assert shuffled_order(count).tolist() == expected
