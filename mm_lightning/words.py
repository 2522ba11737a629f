"""Read, check, split and compare files of items, one a line.

A file is handled as one array of code points, never as a list of strings: ten million lines cost seconds and a few
hundred megabytes. Words are compared by 64-bit hashes; among ten million different words two share one with a chance
of about one in 400,000.
"""

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_LENGTH = 1000  # characters of one item; longer lines are a sign of a file that is no list of items
SPLIT_SEED = 42
SplitName = Literal["lecture", "unique"]
_SPACES = np.array([c for c in range(0x3001) if chr(c).isspace()], np.uint32)
_NEWLINES = (10, 13)
_CHUNK = 1 << 18  # words handled at once where 8 bytes a character are needed


@dataclass(frozen=True)
class Words:
    """Words as code points, end to end.

    Args:
        codes: (S,) uint32, all words without separators.
        offsets: (W + 1,) int64, where each word begins; the last is S.
    """

    codes: NDArray[np.uint32]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, words: Iterable[str]) -> "Words":
        """Words from strings."""
        words = list(words)
        codes = np.frombuffer("".join(words).encode("utf-32-le"), np.uint32)
        return cls(codes, np.cumsum([0, *map(len, words)], dtype=np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> str:
        return self.codes[self.offsets[index] : self.offsets[index + 1]].tobytes().decode("utf-32-le")

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(W,) characters of each word."""
        return np.diff(self.offsets)

    def take(self, indices: NDArray[np.int64]) -> "Words":
        """The words at these places, in this order."""
        lengths = self.lengths[indices]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        codes = np.empty(offsets[-1], np.uint32)
        for rows in _chunks(len(indices)):
            first, last = offsets[rows.start], offsets[rows.stop]
            shift = np.repeat(self.offsets[indices[rows]] - offsets[rows], lengths[rows])
            codes[first:last] = self.codes[np.arange(first, last) + shift]
        return Words(codes, offsets)

    def alphabet(self) -> str:
        """All characters that occur, sorted."""
        seen = np.zeros(0x110000, bool)
        seen[self.codes] = True
        return "".join(map(chr, np.flatnonzero(seen)))

    def hashes(self) -> NDArray[np.uint64]:
        """(W,) one hash a word, equal for equal words."""
        result = np.empty(len(self), np.uint64)
        for rows in _chunks(len(self)):
            first, last = self.offsets[rows.start], self.offsets[rows.stop]
            lengths = self.lengths[rows]
            place = np.arange(first, last) - np.repeat(self.offsets[rows], lengths)
            mixed = _mix((place.astype(np.uint64) << np.uint64(32)) | self.codes[first:last])
            ends = np.concatenate([[np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)])
            local = self.offsets[rows.start : rows.stop + 1] - first
            result[rows] = _mix(ends[local[1:]] - ends[local[:-1]])
        return result

    def unique(self) -> "Words":
        """Each word once, at its first place."""
        return self.take(np.sort(np.unique(self.hashes(), return_index=True)[1]))

    def tokens(self) -> tuple["Words", NDArray[np.int64]]:
        """What white space separates: the tokens of all words, end to end, and (W,) how many each word has."""
        kept = ~self._is_space()
        begins = kept.copy()
        begins[1:] &= ~kept[:-1] | self._is_first()[1:]
        counts = np.diff(np.searchsorted(np.flatnonzero(begins), self.offsets))
        codes = self.codes[kept]
        return Words(codes, np.append(np.flatnonzero(begins[kept]), len(codes))), counts

    def single_spaced(self) -> "Words":
        """The words with one plain space for each run of white space inside; none has any at its ends."""
        space = self._is_space()
        dropped = np.zeros_like(space)
        dropped[1:] = space[1:] & space[:-1]
        codes = np.where(space, np.uint32(ord(" ")), self.codes)[~dropped]
        return Words(codes, self.offsets - np.searchsorted(np.flatnonzero(dropped), self.offsets))

    def _is_space(self) -> NDArray[np.bool_]:
        return np.isin(self.codes, _SPACES)

    def _is_first(self) -> NDArray[np.bool_]:
        """(S,) whether a word begins here."""
        result = np.zeros(len(self.codes) + 1, bool)  # an empty word at the end begins behind all codes
        result[self.offsets] = True
        return result[:-1]


def _chunks(count: int) -> Iterator[slice]:
    return (slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK))


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every input bit reaches every output bit."""
    x = (x + np.uint64(0x9E3779B97F4A7C15)) & np.uint64(0xFFFFFFFFFFFFFFFF)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def read(path: str | Path) -> Words:
    """Words of a UTF-8 file, one a line, stripped, blank lines left out; a BOM and CRLF are accepted.

    Raises:
        ValueError: If the path is no readable file, is not UTF-8, has no words or a line over `MAX_LENGTH` characters.
    """
    return parse(_read_text(Path(path)), str(path))


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; name a text file with one item per line") from None
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; name a text file with one item per line") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len(re.findall(rb"\r\n|\r|\n", raw[: error.start])) + 1
        raise ValueError(
            f"{path} is not UTF-8 (byte 0x{raw[error.start]:02x} in line {line}); convert it, "
            f"for example with: iconv -f latin1 -t utf-8 {path}"
        ) from None


def parse(text: str, source: str) -> Words:
    """Words of a text, as `read` has it; `source` names it in errors."""
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    breaks = np.flatnonzero(np.isin(codes, _NEWLINES))
    starts, ends = np.concatenate([[0], breaks + 1]), np.concatenate([breaks, [len(codes)]])
    _strip(codes, starts, ends)
    lines = np.flatnonzero(starts < ends)
    if not len(lines):
        raise ValueError(f"{source} is empty; it should have one item per line")
    starts, ends = starts[lines], ends[lines]
    lengths = ends - starts
    if lengths.max() > MAX_LENGTH:
        where = len(re.findall(r"\r\n|\r|\n", text[: int(starts[lengths.argmax()])])) + 1
        raise ValueError(
            f"{source}: line {where} has {lengths.max()} characters, over the limit of {MAX_LENGTH}; "
            "put one item per line"
        )
    inside = np.zeros(len(codes) + 1, np.int8)
    inside[starts] += 1
    inside[ends] -= 1  # words are apart by a line break at least, so a start is never another's end
    kept = codes[np.cumsum(inside[:-1], dtype=np.int8).view(bool)]
    return Words(kept, np.concatenate([[0], np.cumsum(lengths)]))


def _strip(codes: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
    """Move line borders inwards over white space, in place."""
    for border, offset, step in ((starts, 0, 1), (ends, -1, -1)):
        open_lines = np.flatnonzero(starts < ends)
        while len(open_lines):
            open_lines = open_lines[np.isin(codes[border[open_lines] + offset], _SPACES)]
            border[open_lines] += step
            open_lines = open_lines[starts[open_lines] < ends[open_lines]]


@dataclass(frozen=True)
class Splits:
    """Train, dev and test words: 80, 10 and 10 in a hundred, after a shuffle by word."""

    train: Words
    dev: Words
    test: Words


def split(words: Words, how: SplitName, source: str) -> Splits:
    """Cut the words into train, dev and test as the lecture does (`random.Random(42).shuffle`).

    Args:
        words: All words.
        how: `lecture` keeps repeats, so that a word can stand in train and in dev; `unique` removes them first.
        source: Named in errors.

    Raises:
        ValueError: If a split comes out empty.
    """
    if how == "unique":
        words = words.unique()
    order = list(range(len(words)))
    random.Random(SPLIT_SEED).shuffle(order)
    shuffled = np.array(order, np.int64)
    first, second = int(0.8 * len(words)), int(0.9 * len(words))
    parts = {"train": shuffled[:first], "dev": shuffled[first:second], "test": shuffled[second:]}
    for name, part in parts.items():
        if not len(part):
            raise ValueError(
                f"{source} has {len(words)} items, which leaves the {name} split empty; at least 6 are needed"
            )
    return Splits(*(words.take(part) for part in parts.values()))
