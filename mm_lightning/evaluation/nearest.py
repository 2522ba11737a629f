"""The nearest known item by edit distance (Levenshtein 1966), for thousands of items against tens of thousands.

rapidfuzz computes the distance of every pair, bit-parallel (Myers 1999): 64 cells of a pair's table per operation.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq, Levenshtein
from rapidfuzz.process import cdist

from mm_lightning.data.items import Items

_ITEMS_PER_TILE = 128
_KNOWN_PER_TILE = 1 << 14
_CELLS_PER_OPERATION = 64
_MAX_OPERATIONS = 4_000_000_000  # on one core 7 seconds for items of 7 tokens, half a minute for 100 or 1,000 tokens
_MIN_ITEMS = 20
_UNKNOWN_DISTANCE = np.iinfo(np.int64).max


class _Tile(NamedTuple):
    """Part of the items and part of the known items, as lists of tokens."""

    rows: slice
    columns: slice
    items: list[list[int]]
    known: list[list[int]]


def _token_lists(items: Items) -> list[list[int]]:
    return [items.code_points[start:end].tolist() for start, end in pairwise(items.offsets)]


def _tiles(items: Items, known: Items) -> Iterator[_Tile]:
    """Cut the table of all pairs into tiles that fit in memory."""
    queries = _token_lists(items)
    for column in range(0, len(known), _KNOWN_PER_TILE):
        columns = slice(column, column + _KNOWN_PER_TILE)
        choices = _token_lists(known[columns])
        for row in range(0, len(items), _ITEMS_PER_TILE):
            rows = slice(row, row + _ITEMS_PER_TILE)
            yield _Tile(rows, columns, queries[rows], choices)


def _bag_distances(tile: _Tile) -> NDArray[np.int32]:
    """Compute the length of the longer item minus the number of tokens that both share in any order.

    The longest common subsequence of sorted tokens is that shared part.
    """
    queries, choices = (list(map(sorted, part)) for part in (tile.items, tile.known))
    return cdist(queries, choices, scorer=LCSseq.distance, workers=-1)


def max_items(known: Items) -> int:
    """Number of items that `nearest_distances` compares with `known` within about a minute, at least 20."""
    operations_per_column = -(-int(known.lengths.max()) // _CELLS_PER_OPERATION)
    return max(_MIN_ITEMS, _MAX_OPERATIONS // (len(known.code_points) * operations_per_column))


def nearest_distances(items: Items, known: Items) -> NDArray[np.int64]:
    """Compute the edit distance from each item to its nearest known item.

    Args:
        items: The items.
        known: At least one item.

    Returns:
        (num_items,) number of tokens to insert, delete or replace.
    """
    result = np.full(len(items), _UNKNOWN_DISTANCE)
    for tile in _tiles(items, known):
        table = cdist(tile.items, tile.known, scorer=Levenshtein.distance, workers=-1)
        result[tile.rows] = np.minimum(result[tile.rows], table.min(axis=1))
    return result


def nearest_indices(items: Items, known: Items) -> NDArray[np.int64]:
    """Find the nearest known item of each item; slower than `nearest_distances`.

    Among equally near items, an item wins whose bag distance, which ignores the order of tokens, is below the edit
    distance; among several, the first. Version 0.1 chose so too.

    Args:
        items: The items.
        known: At least one item.

    Returns:
        (num_items,) index into `known`.
    """
    keys = np.full(len(items), _UNKNOWN_DISTANCE)  # rank * len(known) + index, so that the minimum is the choice
    for tile in _tiles(items, known):
        edits = cdist(tile.items, tile.known, scorer=Levenshtein.distance, workers=-1)
        bags = _bag_distances(tile)  # never above the edit distance
        ranks = 2 * edits.astype(np.int64) + (bags == edits)
        indices = np.arange(len(known))[tile.columns]
        keys[tile.rows] = np.minimum(keys[tile.rows], (ranks * len(known) + indices).min(axis=1))
    return keys % len(known)
