"""The nearest of known words by edit distance, exact, for thousands of words against tens of thousands.

Most pairs need no look at the order of their letters. Turning one word into another takes at least as many edits as the
longer has letters more than the two share in any order. This bound is one "and" of bits a pair. Pairs are compared in
full in the order of their bounds, and only while the bound is below the nearest distance found; then all at once, each
column of a pair's table of distances being one number of 64 bits (Myers 1999, in blocks as Hyyro 2003 has it).
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.items import Items

_ROWS = 128  # words bounded together, against
_COLUMNS = 1 << 15  # so many known ones, or fewer where a word has many features
_PAIRS = 1 << 14  # pairs compared in full together
_BUCKETS = 64  # letters that the bound tells apart; of more, some count as one, which only lowers it
_BITS = 64  # in a number
_MOST_BITS = 1 << 27  # features of known words looked at together
_AFFORDABLE = 4_000_000_000  # numbers made for all pairs: seconds where few are compared in full, else a minute
_FEWEST = 20

Bits = NDArray[np.uint64]


def affordable(known: Items) -> int:
    """For how many words `nearest` takes no longer than one may wait, at least 20."""
    blocks = -(-int(known.lengths.max()) // _BITS)
    return max(_FEWEST, _AFFORDABLE // (len(known.code_points) * blocks))


def nearest(words: Items, known: Items) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """A nearest known word for each of some, by Levenshtein's distance.

    Args:
        words: Any, none of them empty.
        known: At least one.

    Returns:
        (W,) how many codes must be put in, left out or replaced by others, and (W,) the place of one such known word.
    """
    if not len(words):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    letters = np.unique(words.code_points)
    features = np.unique(_features(words, letters))
    step = min(_COLUMNS, max(1, _MOST_BITS // len(features)))
    result = np.full(len(words), np.iinfo(np.int64).max)  # distance * len(known) + place: the least is the nearest
    for column in range(0, len(known), step):
        against = _Side(known[column : column + step], letters, features)
        for row in range(0, len(words), _ROWS):
            rows = slice(row, row + _ROWS)
            side = _Side(words[rows], letters, features)
            for r, c, distances in _compare(side, against, result[rows] // len(known)):
                np.minimum.at(result[rows], r, distances * len(known) + column + c)
    return result // len(known), result % len(known)


class _Side:
    """Some words, with what comparing them takes.

    Args:
        words: The words.
        letters: (L,) codes that matter; each other one is number L.
        features: (F,) what is looked for in the bounds.
    """

    def __init__(self, words: Items, letters: NDArray[np.integer], features: NDArray[np.int64]) -> None:
        self.begins = words.offsets[:-1]
        self.lengths = words.lengths
        self.numbers = _numbers(words.code_points, letters)
        self.num_letters = len(letters)
        found = _features(words, letters)
        places = np.searchsorted(features, found).clip(max=len(features) - 1)
        word = np.repeat(np.arange(len(words)), self.lengths)
        is_sought = features[places] == found
        has = np.zeros((len(words), -(-len(features) // _BITS) * _BITS), bool)
        has[word[is_sought], places[is_sought]] = True
        self.bits: Bits = np.packbits(has, axis=1).view(np.uint64).T.copy()  # (blocks of features, W)

    def places_of_letters(self) -> Bits:
        """(W, L + 1, blocks) in which places of each word each letter stands, a bit a place; number L in none."""
        result = np.zeros((len(self.lengths), self.num_letters + 1, -(-int(self.lengths.max()) // _BITS)), np.uint64)
        word = np.repeat(np.arange(len(self.lengths)), self.lengths)
        place = np.arange(len(word)) - self.begins[word]
        np.add.at(result, (word, self.numbers, place // _BITS), np.uint64(1) << (place % _BITS).astype(np.uint64))
        return result


def _numbers(codes: NDArray[np.integer], letters: NDArray[np.integer]) -> NDArray[np.int64]:
    """(S,) the number of each letter; of those not listed how many are."""
    places = np.searchsorted(letters, codes).clip(max=len(letters) - 1)
    return np.where(letters[places] == codes, places, len(letters))


def _features(words: Items, letters: NDArray[np.integer]) -> NDArray[np.int64]:
    """(S,) each letter as one of: the first a of its word, its second a, its first b, and so on."""
    bucket = _numbers(words.code_points, letters) % _BUCKETS
    key = np.repeat(np.arange(len(words)), words.lengths) * _BUCKETS + bucket
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    occurrence = np.empty(len(key), np.int64)
    occurrence[order] = np.arange(len(key)) - np.repeat(starts, np.diff(starts, append=len(key)))
    return occurrence * _BUCKETS + bucket


def _compare(
    side: _Side, known: _Side, best: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs that may lie below the nearest distance (W,) found before: words, known words and distances (P,) each."""
    best = best.copy()
    bounds = _bounds(side, known)
    places = side.places_of_letters()
    for level in range(int(bounds.max()) + 1):
        is_open = np.flatnonzero(best > level)
        pairs = np.flatnonzero(bounds[is_open] == level)
        for first in range(0, len(pairs), _PAIRS):
            r, c = np.divmod(pairs[first : first + _PAIRS], len(known.lengths))
            r = is_open[r]
            distances = _distances(side, known, places, r, c)
            np.minimum.at(best, r, distances)
            yield r, c, distances


def _bounds(side: _Side, known: _Side) -> NDArray[np.uint8]:
    """(W, K) edits that it takes at least from each word to each known one, at most 255."""
    result = np.empty((len(side.lengths), len(known.lengths)), np.uint8)
    lengths = known.lengths.astype(np.int16)
    for i, length in enumerate(side.lengths.astype(np.int16)):
        shared = np.zeros(len(lengths), np.int16)
        for mine, theirs in zip(side.bits[:, i], known.bits, strict=True):
            shared += np.bitwise_count(mine & theirs)
        result[i] = np.minimum(np.maximum(lengths, length) - shared, 255)
    return result


def _distances(
    side: _Side, known: _Side, places: Bits, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """(P,) Levenshtein distance of each word to the known one beside it.

    The table of a pair has a row for each letter of the word and a column for each of the known one; neighbours in it
    differ by at most 1. A column is kept as two sets of bits: rows where it `rises` over the row above, and where it
    `falls`. Where it rises or falls over the column before follows from those of the column before, 64 rows at once.
    """
    one = np.uint64(1)
    blocks = places.shape[2]
    lengths, until = side.lengths[rows], known.lengths[columns]
    last_block, last_bit = np.divmod(lengths - 1, _BITS)
    last_bit = one << last_bit.astype(np.uint64)
    rises = np.full((blocks, len(rows)), ~np.uint64(0))
    falls = np.zeros((blocks, len(rows)), np.uint64)
    result = lengths.copy()
    for j in range(int(until.max())):
        letter = known.numbers[np.minimum(known.begins[columns] + j, len(known.numbers) - 1)]
        up, down = np.ones(len(rows), np.uint64), np.zeros(len(rows), np.uint64)  # above the first row it rises
        for block in range(blocks):
            equal, rise, fall = places[rows, letter, block], rises[block], falls[block]
            crossing = equal | fall
            equal |= down
            diagonal = (((equal & rise) + rise) ^ rise) | equal
            over, under = fall | ~(diagonal | rise), rise & diagonal
            counts = (last_block == block) & (j < until)
            result += counts & ((over & last_bit) != 0)
            result -= counts & ((under & last_bit) != 0)
            over, up = (over << one) | up, over >> np.uint64(_BITS - 1)
            under, down = (under << one) | down, under >> np.uint64(_BITS - 1)
            rises[block], falls[block] = under | ~(crossing | over), over & crossing
    return result
