"""Edit distances and nearest items, against a naive loop and by the laws of a distance."""

import random
from collections import Counter
from functools import cache

import numpy as np
import pytest
from naive import edits

from mm_lightning.data.items import Items
from mm_lightning.evaluation import nearest as nearest_module
from mm_lightning.evaluation.nearest import max_items, nearest_distances, nearest_indices


def bag_distance(a, b):
    """Length of the longer string minus the number of letters shared in any order."""
    return max(len(a), len(b)) - (Counter(a) & Counter(b)).total()


def random_items(alphabet, max_length, count, seed):
    generator = random.Random(seed)
    return ["".join(generator.choices(alphabet, k=generator.randint(1, max_length))) for _ in range(count)]


@cache
def naive_table(alphabet, max_length):
    """Random items, known items, and the edit distances of all pairs."""
    words = random_items(alphabet, max_length, 25, 1)
    known = [*random_items(alphabet + "éß", max_length, 25, 2), words[0]]
    return words, known, [[edits(word, other) for other in known] for word in words]


@pytest.mark.parametrize(
    ("alphabet", "max_length"),
    [("ab", 7), ("abcdef", 12), ("abc", 64), ("abcd", 150), ("".join(map(chr, range(500, 700))), 20)],
    ids=["two letters", "short", "up to 64 letters", "over 64 letters", "large alphabet"],
)
@pytest.mark.parametrize("has_borders", [False, True])
def test_the_nearest_equals_a_loop_over_all(alphabet, max_length, has_borders, monkeypatch):
    """Catches a wrong distance, an index of another tile, and a border between tiles."""
    if has_borders:
        monkeypatch.setattr(nearest_module, "_ITEMS_PER_TILE", 3)
        monkeypatch.setattr(nearest_module, "_KNOWN_PER_TILE", 7)
    words, known, table = naive_table(alphabet, max_length)
    distances = nearest_distances(Items.from_strings(words), Items.from_strings(known))
    indices = nearest_indices(Items.from_strings(words), Items.from_strings(known))
    assert distances.tolist() == [min(row) for row in table]
    for word, row, index in zip(words, table, indices.tolist(), strict=True):
        keys = [(d, bag_distance(word, other) == d) for d, other in zip(row, known, strict=True)]
        assert index == keys.index(min(keys))


def test_laws_of_the_distance():
    """Catches a distance that depends on the direction, or is zero for two different items."""
    words = random_items("abc", 70, 30, 3)
    each = [Items.from_strings([word]) for word in words]
    table = np.array([[nearest_distances(a, b)[0] for b in each] for a in each])
    assert (table == table.T).all()
    assert ((table == 0) == (np.array(words)[:, None] == np.array(words))).all()
    assert (table[:, :, None] + table[None] >= table[:, None]).all()


@pytest.mark.parametrize("known", [["abxy", "bacd", "cbad"], ["axcy", "abxy", "xbyd"]])
def test_equally_near_items(known):
    """Catches another choice among equally near items than version 0.1 made."""
    assert [edits("abcd", other) for other in known] == [2, 2, 2]
    expected = known.index("bacd") if "bacd" in known else 0
    assert nearest_indices(Items.from_strings(["abcd"]), Items.from_strings(known)).tolist() == [expected]


def test_no_items():
    """Catches a crash where every sample is a training item."""
    assert len(nearest_distances(Items.from_strings([]), Items.from_strings(["a"]))) == 0
    assert len(nearest_indices(Items.from_strings([]), Items.from_strings(["a"]))) == 0


def test_ids_that_are_no_characters():
    """Catches ids taken for code points: surrogates, and ids of a vocabulary of millions of words."""
    items = Items(np.array([0xD800, 2_000_000, 7], np.uint32), np.array([0, 3]))
    known = Items(np.array([7, 0xD800, 2_000_001, 7], np.uint32), np.array([0, 1, 4]))
    assert nearest_distances(items, known).tolist() == [1]
    assert nearest_indices(items, known).tolist() == [1]


def test_the_number_of_items_depends_on_the_work():
    """Catches a comparison of hours for long lines, and a mean over nothing."""
    names, lines = Items.from_strings(["abcdefg"] * 25_000), Items.from_strings(["a" * 1000] * 25_000)
    assert max_items(names) > 10_000
    assert max_items(lines) == 20
