"""Run what README and docs show, and compare the output with the page.

Training rounds differently on each processor, and after thousands of steps the losses differ in the third digit and
the samples in every letter. So numbers are compared within a tolerance. Where a processor repeats every number of a
training, it must repeat every sample of that network too.
"""

import itertools
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from run_command import run

COMMAND = re.compile(r"(?:mm|uv run python -m mm_lightning) (.*)")
NUMBER = r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?"
SAMPLES = "samples ([in training]): "
TOLERANCE = {
    "report": 0.0,
    "predict": 1e-6,  # of the same network: the last digit of a score differs between processors
    "fit": 0.02,
    "test": 0.02,
    "validate": 0.02,
    "score": 0.02,
    "quality": 0.1,
    "lr_find": 0.7,
    "python": 0.3,
}
TIMEOUT_SECONDS = 900


def console_blocks(page: Path) -> list[list[tuple[str, list[str]]]]:
    """The commands of each console block of a page that shows output, each with its lines of output."""
    text = page.read_text(encoding="utf-8")
    blocks = []
    for content in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        block: list[tuple[str, list[str]]] = []
        for line in content.splitlines():
            if line.startswith("$ "):
                block.append((line.removeprefix("$ "), []))
            else:
                block[-1][1].append(line)
        if any(output for _, output in block):
            blocks.append(block)
    return blocks


def is_close(shown: str, printed: str, command: str) -> bool:
    """Whether two numbers are equal within the tolerance of a command."""
    if command == "sweep":  # a search goes another way after another loss; the losses it finds have four decimals
        return not re.search(r"\.\d{4}$", shown) or abs(float(shown) - float(printed)) < 0.03 * float(shown)
    first, second = (float(text.replace(",", "")) for text in (shown, printed))
    tolerance = TOLERANCE.get(command, 0.0)
    rounding = 1.01 * 10.0 ** -len(shown.partition(".")[2]) if tolerance and "." in shown else 0.0
    return abs(first - second) <= max(tolerance * abs(first), rounding)


def is_alike(shown: str, printed: str, command: str) -> bool:
    """Whether a line has the text of the shown one, and close numbers; `...` stands for any text."""
    shown, _, shown_items = shown.partition(SAMPLES)
    printed, _, printed_items = printed.partition(SAMPLES)
    if shown == printed:
        return shown_items == printed_items
    parts = re.split(rf"(\.\.\.|{NUMBER})", shown)
    text = [r"\s+".join(map(re.escape, re.split(r"\s+", part))) for part in parts[::2]]
    values = [".*" if part == "..." else f"({NUMBER})" for part in parts[1::2]]
    match = re.fullmatch("".join(part for pair in zip(text, [*values, ""], strict=True) for part in pair), printed)
    if match is None or len(shown_items.split()) != len(printed_items.split()):
        return False
    numbers = [part for part in parts[1::2] if part != "..."]
    return all(is_close(*pair, command) for pair in zip(numbers, match.groups(), strict=True))


def are_alike(shown: list[str], printed: list[str], alike: Callable[[str, str], bool]) -> bool:
    """Whether lines are like the shown ones; a shown line `...` stands for any lines."""
    if not shown or not printed:
        return not printed and all(line.strip() == "..." for line in shown)
    if shown[0].strip() == "...":
        return are_alike(shown[1:], printed, alike) or are_alike(shown, printed[1:], alike)
    return alike(shown[0], printed[0]) and are_alike(shown[1:], printed[1:], alike)


def keeps_conditions(items: list[str], args: list[str]) -> bool:
    """Whether items have the suffix, the text and the pattern that the options of `predict` ask for."""
    options = dict(itertools.pairwise(args))
    glob = options.get("--sampling.pattern", "*").replace(".", "?")
    suffix, text = (options.get(f"--sampling.{name}", "") for name in ("suffix", "contains"))
    return all(item.endswith(suffix) and text in item and fnmatchcase(item, glob) for item in items)


def sorted_shares(lines: list[str]) -> list[str]:
    """Lines with the table of a sweep's shares sorted by name, as the shares differ between processors."""
    is_share = [re.fullmatch(r"  \d\.\d\d  \S+", line) is not None for line in lines]
    rows = [line for line, is_one in zip(lines, is_share, strict=True) if is_one]
    shares = iter(sorted(rows, key=lambda row: row.split()[1]))
    return [next(shares) if is_one else line for line, is_one in zip(lines, is_share, strict=True)]


@dataclass
class Reader:
    """A reader who types the commands of pages in one folder.

    Args:
        folder: The folder.
        checkpoint: What C stands for.
        repeats: Whether this processor has repeated every number of a training, for each training.
    """

    folder: Path
    checkpoint: str = "best"
    repeats: list[bool] = field(default_factory=list)

    def read(self, page: Path) -> None:
        """Run and compare the blocks of a page."""
        for block in console_blocks(page):
            for command, shown in block:
                self.type(command, shown)

    def type(self, command: str, shown: list[str]) -> None:
        found = COMMAND.fullmatch(command)
        if found is not None:
            args = [self.checkpoint if arg == "C" else arg for arg in shlex.split(found[1])]
            result = run(*args, cwd=self.folder, timeout=TIMEOUT_SECONDS)
            assert result.returncode == 0, f"{command}\n{result.stderr}"
            self.compare(args, shown, result.stdout.splitlines())
        elif command.startswith("cat "):
            printed = (self.folder / command.removeprefix("cat ")).read_text(encoding="utf-8").splitlines()
            self.compare(["predict"], shown, printed)
        else:
            assert not shown, f"{command} is not run, but the page shows its output"

    def compare(self, args: list[str], shown: list[str], printed: list[str]) -> None:
        """Compare output with a page's."""
        name = args[0]
        is_joined = name == "predict" and len(shown) == 1
        printed = [" ".join(printed)] if is_joined else printed
        if name == "fit":
            self.repeats.append(are_alike(shown, printed, str.__eq__))
        run_number = re.search(r"/version_(\d+)/", " ".join(args))
        exact = "predict" if name == "predict" else "report"
        if name in ("predict", "quality") and self.repeats[-1 if run_number is None else int(run_number[1])]:
            alike = are_alike(shown, printed, lambda first, second: is_alike(first, second, exact))
        elif name == "predict":
            items = printed[0].split() if is_joined else printed
            alike = len(items) == len(shown[0].split() if is_joined else shown) and keeps_conditions(items, args)
        else:
            shown, printed = sorted_shares(shown), sorted_shares(printed)
            if name == "quality":  # the table of new words below is one of samples
                shown, printed = shown[: shown.index("")], printed[: printed.index("")]
            alike = are_alike(shown, printed, lambda first, second: is_alike(first, second, name))
        page, here = ("\n".join(lines) for lines in (shown, printed))
        assert not shown or alike, f"{' '.join(args)}: the page shows\n{page}\n\nand the command prints\n{here}"


def read_python(page: Path) -> None:
    """Run and compare the Python blocks of a page, in which each statement is a line that begins with >>>."""
    blocks = re.findall(r"^```python\n(>>> .*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    text = "".join(blocks)
    quoted = re.compile(r"'\w+'")  # items, and tokens in the order of their probabilities
    names: dict[str, Any] = {}
    repeats = True  # whether this processor has repeated every loss so far
    for statement, shown in re.findall(r"^>>> (.*)\n((?:(?!>>> ).*\n)*)", text, re.MULTILINE):
        if not shown:
            exec(statement, names)
            continue
        printed = f"{eval(statement, names)!r}\n"
        is_loss, is_rate = "loss" in statement, "suggestion" in statement
        repeats = repeats and (shown == printed or not is_loss)
        kind = "validate" if is_loss else "lr_find" if is_rate else "python"
        lines = [quoted.sub("''", each).splitlines() for each in (shown, printed)]
        alike = are_alike(*lines, lambda first, second, kind=kind: is_alike(first, second, kind))
        if repeats and not is_loss and not is_rate:
            alike = shown == printed
        assert alike, f"{statement}: the page shows\n{shown}\nand Python gives\n{printed}"
