"""Lines of a text as arrays of code points, without a Python string per line."""

import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

CodePoints = NDArray[np.uint8 | np.uint32]
_BREAK = re.compile("[\r\n]")
_IS_SPACE = np.array([chr(c).isspace() for c in range(0x3002)])  # the last entry serves every larger code point
_CHUNK = 1 << 16  # items or characters per chunk: bounds the memory where a character takes several bytes


def chunks(count: int) -> Iterator[slice]:
    """Cut `range(count)` into slices of `_CHUNK`."""
    return (slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK))


def item_chunks(offsets: NDArray[np.int64]) -> Iterator[slice]:
    """Cut items into slices of some `8 * _CHUNK` characters.

    Args:
        offsets: (num_items + 1,) the start of each item, and the end of the last.
    """
    cuts = np.searchsorted(offsets, np.arange(0, offsets[-1], 8 * _CHUNK))
    borders = np.unique(np.concatenate([[0], cuts, [len(offsets) - 1]])).tolist()
    return (slice(first, last) for first, last in pairwise(borders))


def text_chunks(text: str) -> Iterator[tuple[int, str]]:
    """Cut a text behind line breaks into pieces of at least `_CHUNK` characters; yield each start and piece."""
    start = 0
    while start < len(text):
        found = _BREAK.search(text, start + _CHUNK)
        end = found.end() if found else len(text)
        yield start, text[start:end]
        start = end


def count_line_breaks(text: str, start: int, end: int) -> int:
    r"""Count the line breaks (\n, \r or \r\n) in `text[start:end]`."""
    return text.count("\n", start, end) + text.count("\r", start, end) - text.count("\r\n", start, end)


def to_code_points(text: str) -> CodePoints:
    """Convert a text to (num_characters,) uint8 where all code points are below 256, else uint32."""
    try:
        return np.frombuffer(text.encode("latin-1"), np.uint8)
    except UnicodeEncodeError:
        return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)  # callers check characters


def is_space(code_points: CodePoints) -> NDArray[np.bool_]:
    """Mask of white space among code points (num_characters,), as `str.isspace` defines it."""
    return _IS_SPACE.take(code_points, mode="clip")


def find_items(code_points: CodePoints) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Find the items: lines stripped of white space at both ends, without empty ones.

    Returns:
        Mask (num_characters,) of the characters that belong to an item; starts and ends (num_items,) of the items.
    """
    breaks = np.flatnonzero((code_points == ord("\n")) | (code_points == ord("\r")))
    starts, ends = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(code_points)]])
    _strip(code_points, starts, ends)
    lines = np.flatnonzero(starts < ends)
    starts, ends = starts[lines], ends[lines]
    change = np.zeros(len(code_points) + 1, np.int8)
    change[starts] += 1
    change[ends] -= 1  # at least one line break separates two items, so no start equals another item's end
    return np.cumsum(change[:-1], dtype=np.int8).view(bool), starts, ends


def _strip(code_points: CodePoints, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    """Move starts and ends of lines inwards over white space, in place; a line of white space only becomes empty."""
    lines = np.flatnonzero(starts < ends)
    at_border = is_space(code_points[starts[lines]]) | is_space(code_points[ends[lines] - 1])
    lines = lines[at_border]
    if not len(lines):  # of most files
        return
    visible = np.append(np.flatnonzero(~is_space(code_points)), len(code_points))
    first = np.searchsorted(visible, starts[lines])
    end = np.searchsorted(visible, ends[lines])  # behind the last visible character of each line
    starts[lines] = np.minimum(visible[first], ends[lines])
    ends[lines] = np.where(first < end, visible[end - 1] + 1, starts[lines])
