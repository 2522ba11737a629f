"""Measures of drawn words, against cases worked out by hand."""

import math

import pytest

from mm_lightning.quality import quality
from mm_lightning.words import Splits, Words

SPLITS = Splits(Words.of(["ab", "ab", "ba", "c"]), Words.of(["ab", "bb", "cc", "bb"]), Words.of(["a"]))


def test_shares_by_hand():
    """A share taken of draws where it is of words, or of words where it is of different words."""
    result = quality(Words.of(["ab", "ab", "bb", "aa", "aa", "aa"]), 8, SPLITS)
    assert result.valid == 6 / 8
    assert result.unique == 3 / 6
    assert result.new == 2 / 3
    assert result.dev_hits == 1 / 2  # bb of bb and cc; ab stands in training


def test_the_training_words_are_like_themselves():
    """A divergence that is not zero at zero."""
    result = quality(SPLITS.train, 4, SPLITS)
    assert result.lengths == result.bigrams == pytest.approx(1)
    assert result.new == 0


def test_likeness_by_hand():
    """The divergence the wrong way round, or a boundary left out of the bigrams."""
    result = quality(Words.of(["a", "b"]), 2, SPLITS)
    p, q = (2 / 6, 4 / 6), (3 / 4, 1 / 4)  # lengths 1 and 2: counts 1, 3 and 2, 0, each with one more
    assert result.lengths == pytest.approx(math.exp(-sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))))
    # pairs .a ab b. .b ba a. .c c. of training against those drawn, each with one more
    p = [n / 19 for n in (3, 3, 3, 2, 2, 2, 2, 2)]
    q = [n / 12 for n in (2, 1, 2, 2, 1, 2, 1, 1)]
    assert result.bigrams == pytest.approx(math.exp(-sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))))


def test_words_end_to_end_make_no_pairs():
    """The last character of a word and the first of the next taken for neighbours."""
    joined = quality(Words.of(["ab", "ba"]), 2, Splits(Words.of(["ab", "ba"]), SPLITS.dev, SPLITS.test))
    assert joined.bigrams == pytest.approx(1)
    assert quality(Words.of(["abba"]), 1, SPLITS).bigrams < joined.bigrams
