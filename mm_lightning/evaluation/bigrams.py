"""Bigram counts of a stream of items, for the heat map.

A stream holds the ids of items end to end, a boundary after each item (see `EncodedItems`).
"""

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.files.text import chunks
from mm_lightning.data.vocabulary import BOUNDARY


def most_frequent(stream: NDArray[np.integer], vocab_size: int, count: int) -> NDArray[np.int64]:
    """Select the `count` most frequent ids of a stream.

    Args:
        stream: (S,) ids.
        vocab_size: Number of ids V.
        count: Number n of ids to select.

    Returns:
        (n,) ids, rising.
    """
    occurrences = np.bincount(stream, minlength=vocab_size)
    return np.sort(np.argsort(-occurrences, kind="stable")[:count])


def bigram_counts(stream: NDArray[np.integer], vocab_size: int, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the bigrams of selected ids in a stream, boundaries included.

    Args:
        stream: (S,) ids.
        vocab_size: Number of ids V.
        ids: (n,) ids to count.

    Returns:
        (n, n) counts; row i holds the tokens that follow `ids[i]`.
    """
    index = np.full(vocab_size, -1)
    index[ids] = np.arange(len(ids))
    counts = np.zeros(len(ids) ** 2, np.int64)
    last = np.array([BOUNDARY], stream.dtype)
    for part in chunks(len(stream)):
        indices = index[np.concatenate([last, stream[part]])]
        first, second = indices[:-1], indices[1:]
        is_counted = (first >= 0) & (second >= 0)
        counts += np.bincount((first * len(ids) + second)[is_counted], minlength=len(counts))
        last = stream[part][-1:]
    return counts.reshape(len(ids), len(ids))
