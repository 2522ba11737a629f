"""The report command: a description of a data file, printed before any training; starts without torch."""

import json
import textwrap
from itertools import islice
from pathlib import Path
from typing import Any

from mm_lightning.commands.parts.parsing.parser import OneLineParser, command_parser, descriptions
from mm_lightning.data.files.tables import Columns
from mm_lightning.data.splits import SplitItems, SplitName
from mm_lightning.data.vocabulary import printable
from mm_lightning.evaluation.data_report import describe
from mm_lightning.files import check_writable, write_atomically

_MAX_BAR_WIDTH = 40  # characters
_MAX_HISTOGRAM_ROWS = 40
_MAX_LISTED_CHARACTERS = 200
_MAX_LINE_WIDTH = 100  # characters


def make_parser() -> OneLineParser:
    """Create the parser of the command's options, named as in `fit`."""
    result, texts = command_parser("report"), descriptions(SplitItems)
    result.add_argument("--data.path", default="data/names.txt", help=texts["path"])
    result.add_argument("--data.split", type=SplitName, default="lecture", help=texts["split"])
    for name in ("item", "label", "weight"):
        result.add_argument(f"--data.{name}", type=str | None, help=texts[name])
    result.add_argument("--output", type=Path | None, help="File for the same figures as JSON; its name ends in .json.")
    return result


def _remainder(count: int) -> list[str]:
    return [f"and {count:,} more"] if count > 0 else []


def _wrapped(text: str) -> list[str]:
    """Wrap text at spaces; a no-break space becomes a space afterwards."""
    lines = textwrap.wrap(text, _MAX_LINE_WIDTH, initial_indent="  ", subsequent_indent="  ", break_long_words=False)
    return [line.replace("\u00a0", " ") for line in lines]


def _split_row(name: str, sizes: dict[str, int]) -> str:
    row = f"  {name:<5} {sizes['words']:>9,} {sizes['examples']:>11,}"
    num_seen = sizes.get("words_also_in_train")
    return row if num_seen is None else f"{row} {num_seen:>9,} ({num_seen / sizes['words']:.1%})"


def _histogram(counts: dict[int, int]) -> list[str]:
    """Format one bar per length, or one per range of lengths if there are many lengths."""
    step = -(-(max(counts) + 1) // _MAX_HISTOGRAM_ROWS)
    rows: dict[int, int] = {}
    for n, count in counts.items():
        rows[n // step * step] = rows.get(n // step * step, 0) + count
    max_count = max(rows.values())
    names = {n: str(n) if step == 1 else f"{n}-{n + step - 1}" for n in rows}
    return [f"  {names[n]:>7} {count:>9,} {'#' * -(-_MAX_BAR_WIDTH * count // max_count)}" for n, count in rows.items()]


def _listed(kind: dict[str, Any]) -> list[str]:
    lines = []
    for entry in kind["shown"]:
        item = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in entry["item"])
        item = item if len(item) <= _MAX_LINE_WIDTH else f"{item[:_MAX_LINE_WIDTH]} ..."
        characters = f" ({' '.join(map(printable, entry['characters']))})" if "characters" in entry else ""
        place = f"{entry['file']}, " if "file" in entry else ""
        lines.append(f"  {place}line {entry['line']:,}{characters}: {item}")
    return lines + [f"  {text}" for text in _remainder(kind["lines"] - len(kind["shown"]))]


def _suspicious_lines(kinds: dict[str, Any]) -> list[str]:
    long, rare = kinds["long"], kinds["rare"]
    condition = "no second line has" if rare["in_at_most"] == 1 else f"at most {rare['in_at_most']} lines have"
    return [
        f"lines of over {long['longer_than']} characters, far more than the others: {long['lines']:,}",
        *_listed(long),
        f"lines with a character that {condition}: {rare['lines']:,}, with {rare['characters']:,} such characters",
        *_listed(rare),
    ]


def as_text(report: dict[str, Any]) -> str:
    """Format a report of `describe` as text."""
    characters, length = report["characters"], report["length"]
    listed = [f"{printable(c)}\u00a0{count:,}" for c, count in islice(characters.items(), _MAX_LISTED_CHARACTERS)]
    listed += _remainder(len(characters) - _MAX_LISTED_CHARACTERS)
    quantiles = ", ".join(f"{name} {n}" for name, n in length["quantiles"].items())
    labels = [f"{name} {count:,}" for name, count in report.get("labels", {}).items()]
    columns = [f"labels: {', '.join(labels)}"] if labels else []
    columns += [f"weights: {report['weight']:,} in all"] if "weight" in report else []
    lines = [
        f"{report['path']}: {report['items']:,} items, {report['different']:,} different, "
        f"{report['repeats']:,} repeats",
        *columns,
        f"alphabet: {len(characters)} characters, by how often they occur:",
        *_wrapped("  ".join(listed)),
        f"split {report['split']}: items, examples (characters and closing boundaries), items also in train",
        *(_split_row(name, sizes) for name, sizes in report["splits"].items()),
        f"length: mean {length['mean']:.2f}, shortest {length['shortest']}, longest {length['longest']}, "
        f"quantiles {quantiles}",
        *_histogram({int(n): count for n, count in length["histogram"].items()}),
        *_suspicious_lines(report["suspicious"]),
    ]
    return "\n".join(lines)


def main(args: list[str]) -> None:
    """Print the report, and write it to the output file if there is one.

    Raises:
        UserError: If the data are unfit, or the file cannot be written.
    """
    config = make_parser().parse_args(args)
    output = config["output"]
    if output is not None:
        check_writable(output, "output", ".json")
    columns = Columns(*(config[f"data.{name}"] for name in ("item", "label", "weight")))
    report = describe(config["data.path"], config["data.split"], columns)
    if output is not None:
        with write_atomically(output, "output") as file:
            file.write(f"{json.dumps(report, ensure_ascii=False, indent=2)}\n".encode())
    print(as_text(report))
