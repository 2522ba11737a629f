"""Samples beside dev items: rows, edits and nearest training items, against cases worked out by hand."""

import numpy as np
import pytest

from mm_lightning.data.items import Items
from mm_lightning.data.splits import Splits
from mm_lightning.data.vocabulary import UNKNOWN, Vocabulary, WordVocabulary
from mm_lightning.evaluation import nearest
from mm_lightning.evaluation.comparison import compare
from mm_lightning.evaluation.quality import TrainingReference


def comparison_of(train, dev, samples, vocabulary, num_neighbours=8):
    splits = Splits(*map(Items.from_strings, (train, dev, dev)))
    max_length = int(vocabulary.encode(splits.train)[1].max())
    reference = TrainingReference(splits.train, vocabulary, np.sort(splits.train.hashes()), max_length)
    return compare(reference, splits, Items.from_strings(samples), 1.0, num_neighbours)


def test_edits_of_new_items_only():
    """Catches a repeat or a training item in the mean, and an item beside the nearest item of another."""
    samples = ["ba", "cab", "ab", "cab", "ccc"]
    found = comparison_of(["ab", "ab", "ba", "c"], ["ab"], samples, Vocabulary("abc"))
    assert found.neighbours == [("cab", "ab", 1), ("ccc", "c", 2)]
    assert (found.rows["model"]["edits"], found.rows["model"]["edits_of"]) == (1.5, 2)
    found = comparison_of(["ab", "ab", "ba", "c"], ["ab"], samples, Vocabulary("abc"), num_neighbours=1)
    assert found.neighbours == [("cab", "ab", 1)]
    found = comparison_of(["ab", "c"], ["ab"], ["c"], Vocabulary("abc"))
    assert found.neighbours == []
    assert (found.rows["model"]["edits"], found.rows["model"]["edits_of"]) == (None, 0)


def test_edits_of_sentences_count_words():
    """Catches edits counted in characters for a model of sentences."""
    vocabulary = WordVocabulary([UNKNOWN, "the", "dog", "cat", "sleeps"])
    samples = ["the cat", "dog dog dog dog", "cat sleeps the"]
    found = comparison_of(["the dog sleeps", "the dog"], ["the dog"], samples, vocabulary)
    assert [neighbour.edits for neighbour in found.neighbours] == [1, 3, 3]


def test_rows_have_equal_numbers_of_items():
    """Catches samples beside fewer dev items, dev items that hit themselves, and dev items too long to be valid."""
    found = comparison_of(["ab", "c"], ["a", "bbb", "bb"], ["a", "cc", "bb", "b"], Vocabulary("abc"))
    assert [*found.rows] == ["model", "model, first 3", "dev"]
    assert [row["words"] for row in found.rows.values()] == [4, 3, 2]
    assert found.rows["dev"]["valid"] == pytest.approx(2 / 3)
    assert [row["dev_hits"] for row in found.rows.values()] == [pytest.approx(2 / 3), pytest.approx(2 / 3), None]
    found = comparison_of(["ab", "c"], ["a", "bb", "b"], ["a", "cc"], Vocabulary("abc"))
    assert [*found.rows] == ["model", "dev"]
    assert [row["words"] for row in found.rows.values()] == [2, 2]
    found = comparison_of(["ab", "c"], ["abc"], ["a"], Vocabulary("abc"))
    assert [*found.rows] == ["model"]  # no dev item is valid


def test_edits_are_limited(monkeypatch):
    """Catches a comparison of hours: edits of all new items, however many and long."""
    monkeypatch.setattr(nearest, "_MAX_OPERATIONS", 1)
    samples = [a + b for a in "abcdef" for b in "abcdef"]
    found = comparison_of(["ab", "c"], ["a"], samples, Vocabulary("abcdef"))
    assert found.rows["model"]["edits_of"] == 20
