"""What a file of words is like, before anything is trained on it."""

import json
import textwrap
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jsonargparse import ArgumentParser
from numpy.typing import NDArray

from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.data.items import Items, isin_sorted
from mm_lightning.data.reading import line_numbers, read_items
from mm_lightning.data.splits import SplitName, split_items
from mm_lightning.data.text import chunks
from mm_lightning.data.vocabulary import printable
from mm_lightning.files import check_writable, find_shipped, write_atomically

_BAR = 40  # characters of the longest bar
_ROWS = 40  # of the histogram
_CHARACTERS = 200  # listed, of a large alphabet
_LINES = 10  # shown of each kind of suspicious lines
_WIDTH = 100  # characters of a line of the report
_QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
_RARE = 10_000  # a character is rare in one of so many lines, or fewer
_FEW = 5  # lines, more than which are never rare


def parser() -> ArgumentParser:
    """The command's options, named as those of `fit`."""
    result = ArgumentParser(prog="mm_lightning report", description=COMMANDS["report"].summary)
    result.add_argument("--data.path", default="data/names.txt", help="The file, UTF-8, one item per line.")
    result.add_argument("--data.split", type=SplitName, default="lecture", help="lecture keeps repeats, unique not.")
    result.add_argument("--output", type=Path | None, help="File to write the same figures to, as JSON: NAME.json.")
    return result


def describe(path: str, how: SplitName) -> dict[str, Any]:
    """The report as plain data.

    Raises:
        UserError: If the file is unfit.
    """
    file = find_shipped(path)
    words = read_items(file)
    distinct = len(np.unique(words.hashes()))
    counts = _character_counts(words)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    length = _lengths(words)
    return {
        "path": path,
        "items": len(words),
        "different": distinct,
        "repeats": len(words) - distinct,
        "characters": {chr(code): int(counts[code]) for code in order},
        "split": how,
        "splits": _splits(words, how, path),
        "length": length,
        "suspicious": {"long": _long(words, length, file), "rare": _rare(words, counts, file)},
    }


def _character_counts(words: Items) -> NDArray[np.int64]:
    """(0x110000,) how often each code point occurs."""
    counts = np.zeros(0x110000, np.int64)
    for part in chunks(len(words.code_points)):
        some = np.bincount(words.code_points[part])
        counts[: len(some)] += some
    return counts


def _splits(words: Items, how: SplitName, path: str) -> dict[str, dict[str, int]]:
    splits = split_items(words, how, path)
    train = np.sort(splits.train.hashes())
    parts = dict(zip(("train", "dev", "test"), splits.all, strict=True))
    sizes = {name: {"words": len(part), "examples": len(part) + len(part.code_points)} for name, part in parts.items()}
    for name in ("dev", "test"):
        sizes[name]["words_also_in_train"] = int(isin_sorted(parts[name].hashes(), train).sum())
    return sizes


def _lengths(words: Items) -> dict[str, Any]:
    """Mean, quantiles (the shortest length that so many do not exceed) and how many words have each length."""
    counts = np.bincount(words.lengths)
    places = np.searchsorted(counts.cumsum(), [q * len(words) for q in _QUANTILES])
    return {
        "mean": round(len(words.code_points) / len(words), 4),
        "shortest": int(np.flatnonzero(counts)[0]),
        "longest": len(counts) - 1,
        "quantiles": {f"{q:.0%}": int(n) for q, n in zip(_QUANTILES, places, strict=True)},
        "histogram": {str(n): int(counts[n]) for n in np.flatnonzero(counts)},
    }


def _long(words: Items, length: dict[str, Any], file: str) -> dict[str, Any]:
    """Lines far out (Tukey 1977): beyond the third quartile by over three times what lies between the quartiles."""
    first, third = length["quantiles"]["25%"], length["quantiles"]["75%"]
    limit = third + 3 * max(third - first, 1)
    found = np.flatnonzero(words.lengths > limit)
    longest = np.sort(found[np.argsort(-words.lengths[found], kind="stable")[:_LINES]])
    return {"longer_than": limit, "lines": len(found), "shown": _name(words, longest, file)}


def _rare(words: Items, counts: NDArray[np.int64], file: str) -> dict[str, Any]:
    """Lines with a character that hardly any has."""
    limit = min(max(len(words) // _RARE, 1), _FEW)
    rows, codes = _places(words, np.flatnonzero((counts > 0) & (counts <= limit * int(words.lengths.max()))))
    pairs = np.unique(np.stack([codes, rows]), axis=1)  # a character twice in a line is there once
    characters, lines = np.unique(pairs[0], return_counts=True)
    rare = characters[lines <= limit]
    found = np.unique(pairs[1][np.isin(pairs[0], rare)])
    named = _name(words, found[:_LINES], file)
    for line in named:
        line["characters"] = "".join(c for c in dict.fromkeys(line["item"]) if ord(c) in rare)
    return {"in_at_most": limit, "characters": len(rare), "lines": len(found), "shown": named}


def _places(words: Items, wanted: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where some code points stand: numbers of words (n,) and the code points (n,)."""
    is_wanted = np.zeros(0x110000, bool)
    is_wanted[wanted] = True
    found = [part.start + np.flatnonzero(is_wanted[words.code_points[part]]) for part in chunks(len(words.code_points))]
    places = np.concatenate(found)
    return np.searchsorted(words.offsets, places, side="right") - 1, words.code_points[places].astype(np.int64)


def _name(words: Items, indices: NDArray[np.int64], file: str) -> list[dict[str, Any]]:
    return [{"line": line, "item": words[int(i)]} for i, line in zip(indices, line_numbers(file, indices), strict=True)]


def as_text(report: dict[str, Any]) -> str:
    """The report for reading."""
    characters, length = report["characters"], report["length"]
    listed = [f"{printable(c)}\u00a0{count:,}" for c, count in islice(characters.items(), _CHARACTERS)]
    listed += _more(len(characters) - _CHARACTERS)
    quantiles = ", ".join(f"{name} {n}" for name, n in length["quantiles"].items())
    lines = [
        f"{report['path']}: {report['items']:,} items, {report['different']:,} different, "
        f"{report['repeats']:,} repeats",
        f"alphabet: {len(characters)} characters, by how often they occur:",
        *_wrapped("  ".join(listed)),
        f"split {report['split']}: words, examples (characters and closing boundaries), words also in train",
        *(_split_row(name, sizes) for name, sizes in report["splits"].items()),
        f"length: mean {length['mean']:.2f}, shortest {length['shortest']}, longest {length['longest']}, "
        f"quantiles {quantiles}",
        *_histogram({int(n): count for n, count in length["histogram"].items()}),
        *_suspicious(report["suspicious"]),
    ]
    return "\n".join(lines)


def _wrapped(text: str) -> list[str]:
    lines = textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _split_row(name: str, sizes: dict[str, int]) -> str:
    row = f"  {name:<5} {sizes['words']:>9,} {sizes['examples']:>11,}"
    seen = sizes.get("words_also_in_train")
    return row if seen is None else f"{row} {seen:>9,} ({seen / sizes['words']:.1%})"


def _histogram(counts: dict[int, int]) -> list[str]:
    """A bar for each length, or for several in turn where there are many."""
    step = -(-(max(counts) + 1) // _ROWS)
    rows: dict[int, int] = {}
    for n, count in counts.items():
        rows[n // step * step] = rows.get(n // step * step, 0) + count
    most = max(rows.values())
    names = {n: str(n) if step == 1 else f"{n}-{n + step - 1}" for n in rows}
    return [f"  {names[n]:>7} {count:>9,} {'#' * -(-_BAR * count // most)}" for n, count in rows.items()]


def _suspicious(kinds: dict[str, Any]) -> list[str]:
    long, rare = kinds["long"], kinds["rare"]
    most = "no second line has" if rare["in_at_most"] == 1 else f"at most {rare['in_at_most']} lines have"
    return [
        f"lines of over {long['longer_than']} characters, far more than the others: {long['lines']:,}",
        *_listed(long),
        f"lines with a character that {most}: {rare['lines']:,}, with {rare['characters']:,} such characters",
        *_listed(rare),
    ]


def _listed(kind: dict[str, Any]) -> list[str]:
    lines = []
    for entry in kind["shown"]:
        item = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in entry["item"])
        item = item if len(item) <= _WIDTH else f"{item[:_WIDTH]} ..."
        characters = f" ({' '.join(map(printable, entry['characters']))})" if "characters" in entry else ""
        lines.append(f"  line {entry['line']:,}{characters}: {item}")
    return lines + [f"  {more}" for more in _more(kind["lines"] - len(kind["shown"]))]


def _more(count: int) -> list[str]:
    return [f"and {count:,} more"] if count > 0 else []


def main(args: list[str]) -> None:
    """Print the report, and write it as JSON if a file is named.

    Raises:
        UserError: If the data are unfit, or the file cannot be written.
    """
    config = parser().parse_args(args)
    output = config["output"]
    if output is not None:
        check_writable(output, "output", ".json")
    report = describe(config["data.path"], config["data.split"])
    if output is not None:
        with write_atomically(output, "output") as partial:
            partial.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    print(as_text(report))
