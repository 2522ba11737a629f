"""Count the bigrams of a stream of items, for the heat map."""

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.text import chunks
from mm_lightning.data.vocabulary import BOUNDARY


def most_frequent(stream: NDArray[np.integer], vocab_size: int, count: int) -> NDArray[np.int64]:
    """The ids (n,) that occur most often in a stream of words as EncodedItems has it, in rising order."""
    occurrences = np.bincount(stream, minlength=vocab_size)
    return np.sort(np.argsort(-occurrences, kind="stable")[:count])


def bigram_counts(stream: NDArray[np.integer], vocab_size: int, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often in a stream of words each of these ids (n,) is followed by each (n, n), boundaries counted too."""
    place = np.full(vocab_size, -1)
    place[ids] = np.arange(len(ids))
    counts = np.zeros(len(ids) ** 2, np.int64)
    last = np.array([BOUNDARY], stream.dtype)
    for part in chunks(len(stream)):
        some = place[np.concatenate([last, stream[part]])]
        first, second = some[:-1], some[1:]
        counted = (first >= 0) & (second >= 0)
        counts += np.bincount((first * len(ids) + second)[counted], minlength=len(counts))
        last = stream[part][-1:]
    return counts.reshape(len(ids), len(ids))
