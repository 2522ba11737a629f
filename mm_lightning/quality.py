"""How good drawn words are, beside the words they imitate.

The measures of MOSES (Polykovskiy et al. 2020) and GuacaMol (Brown et al. 2019) for generated molecules, as far as they
carry over to words. None says much alone: copying the training words is valid, and random letters are new.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm_lightning.words import Splits, Words


@dataclass(frozen=True)
class Quality:
    """Shares, each between 0 and 1.

    Args:
        valid: Draws that ended within the longest training word's length.
        unique: Different words among the valid.
        new: Words, of the different ones, that the train split lacks.
        dev_hits: Words of dev unseen in training, each once, that were drawn.
        lengths: exp(-KL) of the lengths in training to those drawn; 1 where both are spread alike.
        bigrams: exp(-KL) of the bigrams in training, boundaries included, to those drawn.
    """

    valid: float
    unique: float
    new: float
    dev_hits: float
    lengths: float
    bigrams: float


def quality(words: Words, num_draws: int, splits: Splits) -> Quality:
    """Compare words with the splits.

    Args:
        words: Those that ended in time, at least one.
        num_draws: How many were begun.
        splits: What the model was trained on, and what not.
    """
    distinct = words.unique()
    train = splits.train.hashes()
    unseen = np.setdiff1d(splits.dev.hashes(), train)
    return Quality(
        valid=len(words) / num_draws,
        unique=len(distinct) / len(words),
        new=float(np.mean(~np.isin(distinct.hashes(), train))),
        dev_hits=float(np.mean(np.isin(unseen, distinct.hashes()))) if len(unseen) else 0.0,
        lengths=_likeness(splits.train.lengths, words.lengths),
        bigrams=_likeness(_bigrams(splits.train), _bigrams(words)),
    )


def _bigrams(words: Words) -> NDArray[np.int64]:
    """(S + W,) a number for each pair of neighbours, the boundary being no code point."""
    boundary = 0x110000
    places = words.offsets + np.arange(len(words) + 1)  # a boundary before each word and one behind the last
    stream = np.full(len(words.codes) + len(words) + 1, boundary, np.int64)
    is_character = np.ones(len(stream), bool)
    is_character[places] = False
    stream[is_character] = words.codes
    return stream[:-1] * (boundary + 1) + stream[1:]


def _likeness(expected: NDArray[np.int64], found: NDArray[np.int64]) -> float:
    """exp(-KL) of one set of values to another, each value of either counted once more so that none is impossible."""
    values = np.union1d(expected, found)
    p, q = (np.bincount(np.searchsorted(values, some), minlength=len(values)) + 1.0 for some in (expected, found))
    p, q = p / p.sum(), q / q.sum()
    return float(np.exp(-(p * np.log(p / q)).sum()))
