"""Items as one array of code points.

A list of ten million Python strings takes over half a gigabyte; the array takes a byte per character where the
alphabet allows. Items are compared by 64-bit hashes: among ten million different items, two share a hash with a
probability of about 1 in 400,000.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.files.text import CodePoints, chunks, is_space, item_chunks, to_code_points


@dataclass(frozen=True)
class Items:
    """A sequence of items, stored end to end.

    An integer index gives one item as a string, a slice gives a contiguous range as `Items`.

    Args:
        code_points: (num_characters,) uint8 where all code points are below 256, else uint32; without separators.
        offsets: (num_items + 1,) int64, the start of each item; the last is num_characters.
        weights: (num_items,) int64, at least 1: how many times each item counts; None for once each.
        labels: (num_items,) int32, the number of each item's label; None for items without labels.
    """

    code_points: CodePoints
    offsets: NDArray[np.int64]
    weights: NDArray[np.int64] | None = None
    labels: NDArray[np.int32] | None = None

    @classmethod
    def from_strings(cls, strings: Iterable[str]) -> "Items":
        """Store strings end to end."""
        strings = list(strings)
        return cls(to_code_points("".join(strings)), np.cumsum([0, *map(len, strings)], dtype=np.int64))

    @classmethod
    def joined(cls, parts: Sequence["Items"]) -> "Items":
        """Join lists of items end to end; all or none of the lists have weights, and likewise labels."""
        shifts = np.cumsum([0, *(len(part.code_points) for part in parts[:-1])])
        starts = [part.offsets[:-1] + shift for part, shift in zip(parts, shifts, strict=True)]
        code_points = np.concatenate([part.code_points for part in parts])
        offsets = np.append(np.concatenate(starts), len(code_points))
        weights = [part.weights for part in parts if part.weights is not None]
        labels = [part.labels for part in parts if part.labels is not None]
        return cls(
            code_points,
            offsets,
            np.concatenate(weights) if weights else None,
            np.concatenate(labels) if labels else None,
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Items": ...
    def __getitem__(self, index: int | slice) -> "str | Items":
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            if step != 1:
                raise ValueError(f"the slice has step {step}; items can be sliced in steps of 1 only")
            offsets = self.offsets[start : max(start, stop) + 1]
            return Items(self.code_points[offsets[0] : offsets[-1]], offsets - offsets[0], *self._columns(index))
        code_points = self.code_points[self.offsets[index] : self.offsets[index + 1]]
        return code_points.tobytes().decode("latin-1" if code_points.itemsize == 1 else "utf-32-le")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(num_items,) characters of each item."""
        return np.diff(self.offsets)

    def take(self, indices: NDArray[np.integer]) -> "Items":
        """Select the items at the indices, in the order of the indices."""
        offsets, starts = np.zeros(len(indices) + 1, np.int64), np.empty(len(indices), np.int64)
        for rows in chunks(len(indices)):
            selected = indices[rows]
            starts[rows] = self.offsets[selected]
            offsets[rows.start + 1 : rows.stop + 1] = self.offsets[selected + 1] - starts[rows]
        np.cumsum(offsets, out=offsets)
        code_points = np.empty(offsets[-1], self.code_points.dtype)
        for rows in item_chunks(offsets):
            borders = offsets[rows.start : rows.stop + 1]
            places = np.repeat(starts[rows] - borders[:-1], np.diff(borders))
            places += np.arange(borders[0], borders[-1])
            part = code_points[borders[0] : borders[-1]]
            np.take(self.code_points, places, out=part, mode="clip")  # without copies; no place is outside
        return Items(code_points, offsets, *self._columns(indices))

    def _columns(self, rows: NDArray[np.integer] | slice) -> tuple[NDArray[np.int64] | None, NDArray[np.int32] | None]:
        """Select rows of weights and labels."""
        return (
            None if self.weights is None else self.weights[rows],
            None if self.labels is None else self.labels[rows],
        )

    def alphabet(self) -> str:
        """Return all characters that occur, sorted."""
        return self._alphabet

    @cached_property
    def _alphabet(self) -> str:
        occurs = np.zeros(0x100 if self.code_points.itemsize == 1 else 0x110000, bool)
        for rows in chunks(len(self.code_points)):
            occurs[self.code_points[rows]] = True
        return "".join(map(chr, np.flatnonzero(occurs)))

    def hashes(self) -> NDArray[np.uint64]:
        """Hash each item (num_items,): the mixed sum of its mixed (position, code point) pairs."""
        result = np.empty(len(self), np.uint64)
        for rows in item_chunks(self.offsets):
            first, last = self.offsets[rows.start], self.offsets[rows.stop]
            borders = self.offsets[rows.start : rows.stop + 1] - first
            positions = np.arange(last - first) - np.repeat(borders[:-1], np.diff(borders))
            mixed = _mix((positions.astype(np.uint64) << np.uint64(32)) | self.code_points[first:last])
            sums = np.concatenate([[np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)])
            result[rows] = _mix(sums[borders[1:]] - sums[borders[:-1]])
        return result

    def label_weights(self, num_labels: int) -> list[int]:
        """Sum the weights of the items of each label (num_labels,)."""
        sums = np.zeros(num_labels, np.int64)
        if self.labels is not None:
            np.add.at(sums, self.labels, 1 if self.weights is None else self.weights)
        return sums.tolist()

    def hashes_with_labels(self) -> NDArray[np.uint64]:
        """Hash each item together with its label (num_items,); as `hashes` for items without labels."""
        return self._with_labels(self.hashes())

    def _with_labels(self, hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
        return hashes if self.labels is None else _mix(hashes ^ _mix(self.labels.astype(np.uint64)))

    def digest(self) -> str:
        """Compute a checksum of the items in their order, with labels and weights, in hexadecimal."""
        return self._digest(self.hashes())

    def sorted_hashes_and_digest(self) -> tuple[NDArray[np.uint64], str]:
        """Compute the hashes (num_items,) in rising order, and the checksum, from one pass over the characters."""
        hashes = self.hashes()
        digest = self._digest(hashes)
        hashes.sort()
        return hashes, digest

    def _digest(self, hashes: NDArray[np.uint64]) -> str:
        hashes = self._with_labels(hashes)
        if self.weights is not None:
            hashes = _mix(hashes ^ _mix(self.weights.astype(np.uint64)))
        return f"{int(hashes.dot(np.arange(1, 2 * len(hashes), 2, dtype=np.uint64))):016x}"

    def without_labels(self) -> "Items":
        """The same items and weights."""
        return replace(self, labels=None)

    def unique(self) -> "Items":
        """Keep the first occurrence of each item and label, in the original order; add up the weights of repeats."""
        _, first, inverse = np.unique(self.hashes_with_labels(), return_index=True, return_inverse=True)
        order = np.argsort(first)
        result = self.take(first[order])
        if self.weights is None:
            return result
        sums = np.zeros(len(first), np.int64)
        np.add.at(sums, inverse, self.weights)
        return replace(result, weights=sums[order])

    def tokens(self) -> tuple["Items", NDArray[np.int64]]:
        """Split items at white space.

        Returns:
            The words of all items, end to end, and the number of words of each item (num_items,).
        """
        is_token = ~is_space(self.code_points)
        is_start = is_token.copy()
        is_start[1:] &= ~is_token[:-1] | self._is_first()[1:]
        counts = np.diff(np.searchsorted(np.flatnonzero(is_start), self.offsets))
        code_points = self.code_points[is_token]
        return Items(code_points, np.append(np.flatnonzero(is_start[is_token]), len(code_points))), counts

    def single_spaced(self) -> "Items":
        """Replace each run of white space by one space; items have none at their ends."""
        is_blank = is_space(self.code_points)
        is_repeat = np.zeros_like(is_blank)
        is_repeat[1:] = is_blank[1:] & is_blank[:-1]
        code_points = np.where(is_blank, self.code_points.dtype.type(ord(" ")), self.code_points)[~is_repeat]
        offsets = self.offsets - np.searchsorted(np.flatnonzero(is_repeat), self.offsets)
        return replace(self, code_points=code_points, offsets=offsets)

    def _is_first(self) -> NDArray[np.bool_]:
        """Mask (num_characters,) of the first character of each item."""
        result = np.zeros(len(self.code_points) + 1, bool)  # an empty last item starts behind all characters
        result[self.offsets] = True
        return result[:-1]


def isin_sorted(hashes: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Mask of the hashes that occur in the sorted array `known`, which must not be empty."""
    order = np.argsort(hashes)
    rising = hashes[order]  # the search then walks through `known` and does not jump
    result = np.empty(len(hashes), bool)
    result[order] = known[np.searchsorted(known, rising).clip(max=len(known) - 1)] == rising
    return result


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit affects every output bit."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
