"""Measures of generated items, against cases worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import UNKNOWN, Vocabulary, WordVocabulary
from mm_lightning.evaluation import quality
from mm_lightning.evaluation.quality import TrainingReference, unique_share

DEV = Items.from_strings(["ab", "bb", "cc", "bb"])


def reference_of(strings, vocabulary):
    items = Items.from_strings(strings)
    max_length = int(vocabulary.encode(items)[1].max())
    return TrainingReference(items, vocabulary, np.sort(items.hashes()), max_length)


@pytest.fixture
def reference() -> TrainingReference:
    return reference_of(["ab", "ab", "ba", "c"], Vocabulary("abc"))


def test_shares_by_hand(reference: TrainingReference):
    """Catches a share of samples taken for one of valid items, or of items for one of different items."""
    items = Items.from_strings(["ab", "ab", "bb", "aa", "aa", "aa"])
    result = reference.quality(items, 6 / 8)
    assert result.valid == 6 / 8
    assert result.unique == 3 / 6
    assert result.new == 2 / 3
    assert reference.hit_rate(items, DEV) == 1 / 2  # bb of bb and cc; ab is a training item
    assert reference.hit_rate(items, Items.from_strings(["ab", "c"])) is None
    assert [unique_share(items, count) for count in (2, 3, 6, 7)] == [1 / 2, 2 / 3, 3 / 6, None]


def test_new_items_by_hand(reference: TrainingReference):
    """Catches a repeat or a training item among the new items, or another order."""
    assert list(reference.new_items(Items.from_strings(["ba", "cab", "ab", "cab", "ccc"]))) == ["cab", "ccc"]


def test_the_training_items_are_similar_to_themselves(reference: TrainingReference):
    """Catches a divergence that is not zero between equal distributions."""
    result = reference.quality(Items.from_strings(["ab", "ab", "ba", "c"]), 1.0)
    assert [result.lengths, result.first, result.last, result.bigrams] == pytest.approx([1] * 4)
    assert result.new == 0


def similarity(p, q):
    return pytest.approx(math.exp(-sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))))


def test_similarity_by_hand(reference: TrainingReference):
    """Catches the divergence in the wrong direction, bigrams without a boundary, and first and last exchanged."""
    result = reference.quality(Items.from_strings(["a", "b"]), 1.0)
    assert result.lengths == similarity((2 / 6, 4 / 6), (3 / 4, 1 / 4))  # 1 and 2: counts 1, 3 and 2, 0, plus one
    # pairs .a ab b. .b ba a. .c c. of training against those of the items, plus one each
    p = [n / 19 for n in (3, 3, 3, 2, 2, 2, 2, 2)]
    q = [n / 12 for n in (2, 1, 2, 2, 1, 2, 1, 1)]
    assert result.bigrams == similarity(p, q)
    result = reference.quality(Items.from_strings(["aab", "acb"]), 1.0)
    assert result.first == similarity((3 / 7, 2 / 7, 2 / 7), (3 / 5, 1 / 5, 1 / 5))  # a, b, c: 2, 1, 1 and 2, 0, 0
    assert result.last == similarity((2 / 7, 3 / 7, 2 / 7), (1 / 5, 3 / 5, 1 / 5))  # 1, 2, 1 and 0, 2, 0


def test_a_long_sorted_list_is_its_own_reference(monkeypatch: pytest.MonkeyPatch):
    """Catches a reference of the first items alone, which in a sorted list begin with the same letters."""
    monkeypatch.setattr(quality, "_MAX_REFERENCE_ITEMS", 26)
    strings = [first + second for first in "abcdefghijklm" for second in "abcdefghijklm"]
    measured = reference_of(strings, Vocabulary("abcdefghijklm")).quality(Items.from_strings(strings), 1.0)
    assert measured.first > 0.95


def test_bigrams_do_not_cross_items():
    """Catches the last character of an item and the first of the next counted as a bigram."""
    reference = reference_of(["ab", "ba"], Vocabulary("ab"))
    assert reference.quality(Items.from_strings(["ab", "ba"]), 1.0).bigrams == pytest.approx(1)
    assert reference.quality(Items.from_strings(["abba"]), 1.0).bigrams < 0.95


def test_a_token_is_a_word_of_a_sentence():
    """Catches lengths, bigrams or tokens counted in characters for a model of sentences."""
    vocabulary = WordVocabulary([UNKNOWN, "the", "dog", "cat", "sleeps"])
    reference = reference_of(["the dog sleeps", "the dog"], vocabulary)
    assert reference.max_length == 3
    items = Items.from_strings(["the cat", "dog dog dog dog", "cat sleeps the"])
    assert list(reference.valid_items(items)) == ["the cat", "cat sleeps the"]
    assert reference.tokens(items).lengths.tolist() == [2, 4, 3]
    permuted = reference.quality(Items.from_strings(["dog sleeps the", "the cat"]), 1.0)
    assert permuted.lengths == pytest.approx(1)
    assert permuted.first == similarity((3 / 4, 1 / 4), (2 / 4, 2 / 4))  # the and dog: 2, 0 and 1, 1
    assert reference.quality(Items.from_strings(["the dog", "the dog sleeps"]), 1.0).bigrams == pytest.approx(1)


def test_items_are_compared_by_their_text():
    """Catches an item with two labels that counts twice."""
    items = replace(Items.from_strings(["anna", "anna", "bob"]), labels=np.array([0, 1, 0], np.int32))
    reference = TrainingReference(items, Vocabulary("abno"), np.sort(items.hashes()), 4)
    assert reference.quality(items, 1.0).unique == pytest.approx(2 / 3)
    assert len(reference.distinct) == 2
    assert unique_share(items, 3) == pytest.approx(2 / 3)
    seen = replace(Items.from_strings(["nanb"] * 2), labels=np.array([0, 1], np.int32))
    assert list(reference.new_items(seen)) == ["nanb"]
