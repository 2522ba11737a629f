"""Read, check, split and compare files of items, one a line.

A file is handled as one array of code points, never as a list of strings, and in pieces where several bytes a character
are needed: ten million lines cost seconds and a few hundred megabytes. Items are compared by 64-bit hashes; among ten
million different words two share one with a chance of about one in 400,000.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.text import Codes, code_points, is_space, item_borders, pieces

MAX_LENGTH = 1000  # characters of one item; longer lines are a sign of a file that is no list of items
_CHUNK = 1 << 16  # words or characters handled at once where several bytes a character are needed


@dataclass(frozen=True)
class Items:
    """Items as code points, end to end.

    Args:
        codes: (S,) uint8 where all code points are below 256, else uint32: all words without separators.
        offsets: (W + 1,) int64, where each word begins; the last is S.
    """

    codes: Codes
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, words: Iterable[str]) -> "Items":
        """Items from strings."""
        words = list(words)
        return cls(code_points("".join(words)), np.cumsum([0, *map(len, words)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> str:
        codes = self.codes[self.offsets[index] : self.offsets[index + 1]]
        return codes.tobytes().decode("latin-1" if codes.itemsize == 1 else "utf-32-le")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(W,) characters of each word."""
        return np.diff(self.offsets)

    def part(self, rows: slice) -> "Items":
        """The words from one place to another."""
        offsets = self.offsets[slice(rows.start, None if rows.stop is None else rows.stop + 1)]
        return Items(self.codes[offsets[0] : offsets[-1]], offsets - offsets[0])

    def take(self, indices: NDArray[np.integer]) -> "Items":
        """The words at these places, in this order."""
        offsets = np.zeros(len(indices) + 1, np.int64)
        for rows in chunks(len(indices)):
            some = indices[rows]
            offsets[rows.start + 1 : rows.stop + 1] = self.offsets[some + 1] - self.offsets[some]
        np.cumsum(offsets, out=offsets)
        codes = np.empty(offsets[-1], self.codes.dtype)
        for rows in chunks(len(indices)):
            ends = offsets[rows.start : rows.stop + 1]
            shift = np.repeat(self.offsets[indices[rows]] - ends[:-1], np.diff(ends))
            codes[ends[0] : ends[-1]] = self.codes[np.arange(ends[0], ends[-1]) + shift]
        return Items(codes, offsets)

    def alphabet(self) -> str:
        """All characters that occur, sorted."""
        seen = np.zeros(0x100 if self.codes.itemsize == 1 else 0x110000, bool)
        for part in chunks(len(self.codes)):
            seen[self.codes[part]] = True
        return "".join(map(chr, np.flatnonzero(seen)))

    def hashes(self) -> NDArray[np.uint64]:
        """(W,) one hash a word, equal for equal words."""
        result = np.empty(len(self), np.uint64)
        for rows in chunks(len(self)):
            first, last = self.offsets[rows.start], self.offsets[rows.stop]
            local = self.offsets[rows.start : rows.stop + 1] - first
            place = np.arange(last - first) - np.repeat(local[:-1], np.diff(local))
            mixed = _mix((place.astype(np.uint64) << np.uint64(32)) | self.codes[first:last])
            ends = np.concatenate([[np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)])
            result[rows] = _mix(ends[local[1:]] - ends[local[:-1]])
        return result

    def unique(self) -> "Items":
        """Each word once, at its first place."""
        return self.take(np.sort(np.unique(self.hashes(), return_index=True)[1]))

    def tokens(self) -> tuple["Items", NDArray[np.int64]]:
        """What white space separates: the tokens of all words, end to end, and (W,) how many each word has."""
        kept = ~is_space(self.codes)
        begins = kept.copy()
        begins[1:] &= ~kept[:-1] | self._is_first()[1:]
        counts = np.diff(np.searchsorted(np.flatnonzero(begins), self.offsets))
        codes = self.codes[kept]
        return Items(codes, np.append(np.flatnonzero(begins[kept]), len(codes))), counts

    def single_spaced(self) -> "Items":
        """The words with one plain space for each run of white space inside; none has any at its ends."""
        space = is_space(self.codes)
        dropped = np.zeros_like(space)
        dropped[1:] = space[1:] & space[:-1]
        codes = np.where(space, np.uint32(ord(" ")), self.codes)[~dropped]
        return Items(codes, self.offsets - np.searchsorted(np.flatnonzero(dropped), self.offsets))

    def _is_first(self) -> NDArray[np.bool_]:
        """(S,) whether a word begins here."""
        result = np.zeros(len(self.codes) + 1, bool)  # an empty word at the end begins behind all codes
        result[self.offsets] = True
        return result[:-1]


def chunks(count: int) -> Iterator[slice]:
    """Cut `count` things into pieces worth handling at once."""
    return (slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK))


def isin_sorted(some: NDArray[np.uint64], known: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each of some hashes is among those known, which are sorted."""
    result: NDArray[np.bool_] = known[np.searchsorted(known, some).clip(max=len(known) - 1)] == some
    return result


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def read_items(path: str | Path) -> Items:
    """Items of a UTF-8 file, one a line, stripped, blank lines left out; a BOM and CRLF are accepted.

    Raises:
        UserError: If the path is no readable file, is not UTF-8, has no words or a line over `MAX_LENGTH` characters.
    """
    return parse_items(_read_text(Path(path)), str(path))


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name a text file with one item per line") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a text file with one item per line") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", raw[: error.start])) + 1
        raise UserError(
            f"{path} is not UTF-8 (byte 0x{raw[error.start]:02x} in line {line}); convert it, "
            f"for example with: iconv -f latin1 -t utf-8 {path}"
        ) from None


def parse_items(text: str, source: str) -> Items:
    """Items of a text, as `read_items` has it; `source` names it in errors."""
    codes, lengths = [], []
    for begin, piece in pieces(text, _CHUNK):
        some = code_points(piece)
        inside, starts, ends = item_borders(some)
        long = np.flatnonzero(ends - starts > MAX_LENGTH)
        if len(long):
            where = len(re.findall(r"\r\n|\r|\n", text[: begin + int(starts[long[0]])])) + 1
            raise UserError(
                f"{source}: line {where} has {(ends - starts)[long[0]]} characters, over the limit of {MAX_LENGTH}; "
                "put one item per line"
            )
        codes.append(some[inside])
        lengths.append((ends - starts).astype(np.int16))
    offsets = np.zeros(sum(map(len, lengths)) + 1, np.int64)
    if len(offsets) == 1:
        raise UserError(f"{source} is empty; it should have one item per line")
    np.cumsum(np.concatenate(lengths), out=offsets[1:])
    return Items(np.concatenate(codes), offsets)


def line_numbers(path: str | Path, indices: NDArray[np.integer]) -> list[int]:
    """Line numbers (n,), counted from 1, of the items with these indices (n,), rising, in a file."""
    text, first = _read_text(Path(path)), 0
    numbers, line, place = [], 1, 0
    for begin, piece in pieces(text, _CHUNK):
        _, starts, _ = item_borders(code_points(piece))
        here = indices[(indices >= first) & (indices < first + len(starts))]
        for start in (begin + starts[here - first]).tolist():  # never between \r and \n, which are one break
            line += text.count("\n", place, start) + text.count("\r", place, start) - text.count("\r\n", place, start)
            numbers.append(line)
            place = start
        first += len(starts)
    return numbers
