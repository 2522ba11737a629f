"""Description of a data file as plain data: counts, alphabet, splits, lengths and suspicious lines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.files.lists import ListFile, join_files, listed_paths, read_files
from mm_lightning.data.files.tables import Columns
from mm_lightning.data.files.text import chunks
from mm_lightning.data.items import Items, isin_sorted
from mm_lightning.data.splits import SplitName, split_items

_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
_TUKEY_FENCE = 3  # interquartile ranges above the third quartile (Tukey 1977)
_LINES_PER_RARE_LINE = 10_000  # a rare character occurs in at most one line of this number,
_MAX_RARE_LINES = 5  # and in at most this number of lines
_MAX_LISTED_LINES = 10  # of each kind
_NUM_CODE_POINTS = 0x110000


def _character_counts(items: Items) -> NDArray[np.int64]:
    """Count each code point; (0x110000,)."""
    counts = np.zeros(_NUM_CODE_POINTS, np.int64)
    for part in chunks(len(items.code_points)):
        part_counts = np.bincount(items.code_points[part])
        counts[: len(part_counts)] += part_counts
    return counts


def _split_sizes(items: Items, split: SplitName, path: str) -> dict[str, dict[str, int]]:
    splits = split_items(items, split, path)
    train = np.sort(splits.train.hashes())
    parts = dict(zip(("train", "dev", "test"), splits.all, strict=True))
    sizes = {name: {"words": len(part), "examples": len(part) + len(part.code_points)} for name, part in parts.items()}
    for name in (name for name in ("dev", "test") if len(parts[name])):
        sizes[name]["words_also_in_train"] = int(isin_sorted(parts[name].hashes(), train).sum())
    return sizes


def _length_statistics(items: Items) -> dict[str, Any]:
    """Compute mean, extremes, quantiles and histogram of the items' lengths.

    Quantile q is the least length that a share q of the items do not exceed.
    """
    counts = np.bincount(items.lengths)
    quantiles = np.searchsorted(counts.cumsum(), [q * len(items) for q in _QUANTILES])
    return {
        "mean": round(len(items.code_points) / len(items), 4),
        "shortest": int(np.flatnonzero(counts)[0]),
        "longest": len(counts) - 1,
        "quantiles": {f"{q:.0%}": int(n) for q, n in zip(_QUANTILES, quantiles, strict=True)},
        "histogram": {str(n): int(counts[n]) for n in np.flatnonzero(counts)},
    }


def _listed_lines(items: Items, indices: NDArray[np.int64], files: Sequence[ListFile]) -> list[dict[str, Any]]:
    """Find the lines of items with ascending indices; with several files, each line names its file."""
    listed: list[dict[str, Any]] = []
    first = 0
    for file in files:
        own = indices[(indices >= first) & (indices < first + len(file.items))]
        place = {"file": file.path} if len(files) > 1 else {}
        lines = file.lines(own - first)
        listed += [{**place, "line": line, "item": items[int(i)]} for i, line in zip(own, lines, strict=True)]
        first += len(file.items)
    return listed


def _long_lines(items: Items, length: dict[str, Any], files: Sequence[ListFile]) -> dict[str, Any]:
    """Find lines beyond Tukey's outer fence; list the longest in the order of the file."""
    first, third = length["quantiles"]["25%"], length["quantiles"]["75%"]
    limit = third + _TUKEY_FENCE * max(third - first, 1)
    long = np.flatnonzero(items.lengths > limit)
    longest = np.sort(long[np.argsort(-items.lengths[long], kind="stable")[:_MAX_LISTED_LINES]])
    return {"longer_than": limit, "lines": len(long), "shown": _listed_lines(items, longest, files)}


def _occurrences(items: Items, codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find all occurrences of code points: the code points (n,) and the indices of their items (n,)."""
    is_wanted = np.zeros(_NUM_CODE_POINTS, bool)
    is_wanted[codes] = True
    found = [part.start + np.flatnonzero(is_wanted[items.code_points[part]]) for part in chunks(len(items.code_points))]
    positions = np.concatenate(found)
    return items.code_points[positions].astype(np.int64), np.searchsorted(items.offsets, positions, side="right") - 1


def _rare_lines(items: Items, counts: NDArray[np.int64], files: Sequence[ListFile]) -> dict[str, Any]:
    """Find the lines with rare characters; a rare character occurs in few lines."""
    limit = min(max(len(items) // _LINES_PER_RARE_LINE, 1), _MAX_RARE_LINES)
    candidates = np.flatnonzero((counts > 0) & (counts <= limit * int(items.lengths.max())))
    pairs = np.unique(np.stack(_occurrences(items, candidates)), axis=1)  # a character counts once per line
    characters, num_lines = np.unique(pairs[0], return_counts=True)
    rare = characters[num_lines <= limit]
    rare_characters = set(map(chr, rare))
    lines = np.unique(pairs[1][np.isin(pairs[0], rare)])
    listed = _listed_lines(items, lines[:_MAX_LISTED_LINES], files)
    for line in listed:
        line["characters"] = "".join(c for c in dict.fromkeys(line["item"]) if c in rare_characters)
    return {"in_at_most": limit, "characters": len(rare), "lines": len(lines), "shown": listed}


def describe(path: str | list[str], split: SplitName, columns: Columns = Columns()) -> dict[str, Any]:  # noqa: B008
    """Describe the data of one or several files.

    Args:
        path: Files with one item per line, or the name of a shipped file.
        split: How to divide the items into train, dev and test.
        columns: Columns of tables.

    Returns:
        Figures as plain data, fit for JSON.

    Raises:
        UserError: If the file is unfit.
    """
    files = read_files(path, columns)
    items, names = join_files(files)
    source = listed_paths(path)
    num_distinct = len(np.unique(items.hashes_with_labels()))  # as the split unique counts
    counts = _character_counts(items)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    length = _length_statistics(items)
    used: dict[str, Any] = {}
    if items.labels is not None:
        used["labels"] = dict(zip(names, np.bincount(items.labels).tolist(), strict=True))
    if items.weights is not None:
        used["weight"] = int(items.weights.sum())
    return {
        "path": source,
        "items": len(items),
        "different": num_distinct,
        "repeats": len(items) - num_distinct,
        **used,
        "characters": {chr(code): int(counts[code]) for code in order},
        "split": split,
        "splits": _split_sizes(items, split, source),
        "length": length,
        "suspicious": {"long": _long_lines(items, length, files), "rare": _rare_lines(items, counts, files)},
    }
