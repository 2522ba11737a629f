"""Where words begin and end in a text of lines, as arrays of code points."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8 | np.uint32]
_IS_SPACE = np.array([chr(c).isspace() for c in range(0x3002)])  # the last serves every larger code
_BREAK = re.compile("[\r\n]")


def code_points(text: str) -> Codes:
    """(S,) uint8 where all code points are below 256, else uint32."""
    try:
        return np.frombuffer(text.encode("latin-1"), np.uint8)
    except UnicodeEncodeError:
        return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def pieces(text: str, size: int) -> Iterator[tuple[int, str]]:
    """Cut a text behind line breaks into pieces of at least `size` characters, each with its place."""
    begin = 0
    while begin < len(text):
        found = _BREAK.search(text, begin + size)
        end = found.end() if found else len(text)
        yield begin, text[begin:end]
        begin = end


def is_space(codes: Codes) -> NDArray[np.bool_]:
    """Whether each character is white space."""
    return _IS_SPACE.take(codes, mode="clip")


def item_borders(codes: Codes) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """Find the words: lines without the white space at their ends, if anything is left.

    Returns:
        (S,) whether each character belongs to a word, and (W,) where each word starts and ends.
    """
    breaks = np.flatnonzero((codes == ord("\n")) | (codes == ord("\r")))
    starts, ends = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(codes)]])
    _strip(codes, starts, ends)
    lines = np.flatnonzero(starts < ends)
    starts, ends = starts[lines], ends[lines]
    inside = np.zeros(len(codes) + 1, np.int8)
    inside[starts] += 1
    inside[ends] -= 1  # words are apart by a line break at least, so a start is never another's end
    return np.cumsum(inside[:-1], dtype=np.int8).view(bool), starts, ends


def _strip(codes: Codes, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    """Move line borders inwards over white space, in place."""
    for border, offset, step in ((starts, 0, 1), (ends, -1, -1)):
        open_lines = np.flatnonzero(starts < ends)
        while len(open_lines):
            open_lines = open_lines[is_space(codes[border[open_lines] + offset])]
            border[open_lines] += step
            open_lines = open_lines[starts[open_lines] < ends[open_lines]]
