"""Bigram counts against a naive loop."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from mm_lightning.data.encoding import encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.bigrams import bigram_counts, most_frequent


@pytest.mark.parametrize("chunk", [3, 1 << 16])
def test_bigrams_are_those_of_a_naive_loop(monkeypatch, chunk):
    """Catches a missing first or last bigram of an item, and a missing bigram between two chunks."""
    monkeypatch.setattr("mm_lightning.data.files.text._CHUNK", chunk)
    listed, vocabulary = ["emma", "olivia", "ava", "a", "mm"], Vocabulary("aeilmov")
    expected = Counter(pair for item in listed for pair in pairwise(f".{item}."))
    stream = encode(Items.from_strings(listed), vocabulary).stream.numpy()
    found = bigram_counts(stream, len(vocabulary), np.arange(len(vocabulary)))
    symbols = vocabulary.symbols()
    assert {
        (a, b): found[i, j] for i, a in enumerate(symbols) for j, b in enumerate(symbols) if found[i, j]
    } == expected
    frequent = most_frequent(stream, len(vocabulary), 3)
    assert [symbols[i] for i in frequent] == [".", "a", "m"]  # 5, 5 and 4 times; in the order of ids
    assert bigram_counts(stream, len(vocabulary), frequent).tolist() == found[np.ix_(frequent, frequent)].tolist()
