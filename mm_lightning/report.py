"""What a file of words is like, before anything is trained on it."""

import numpy as np
from jsonargparse import ArgumentParser

from mm_lightning import shipped
from mm_lightning.commands import COMMANDS
from mm_lightning.vocabulary import shown
from mm_lightning.words import SplitName, Words, among, read, split

_BAR = 40  # characters of the longest bar


def parser() -> ArgumentParser:
    """The command's options, named as those of `fit`."""
    result = ArgumentParser(prog="mm_lightning report", description=COMMANDS["report"])
    result.add_argument("--data.path", default="data/names.txt", help="The file, UTF-8, one item per line.")
    result.add_argument("--data.split", type=SplitName, default="lecture", help="lecture keeps repeats, unique not.")
    return result


def describe(path: str, how: SplitName) -> str:
    """The report.

    Raises:
        ValueError: If the file is unfit.
    """
    words = read(shipped.find(path))
    splits = split(words, how, path)
    distinct = len(np.unique(words.hashes()))
    alphabet = words.alphabet()
    train = np.sort(splits.train.hashes())
    lines = [
        f"{path}: {len(words):,} items, {distinct:,} different, {len(words) - distinct:,} repeats",
        f"alphabet: {len(alphabet)} characters: {' '.join(map(shown, alphabet))}",
        f"split {how}: words, examples (characters and closing boundaries), words also in train",
    ]
    for name, part in (("train", splits.train), ("dev", splits.dev), ("test", splits.test)):
        seen = "" if name == "train" else f"{int(among(part.hashes(), train).sum()):>9,}"
        lines.append(f"  {name:<5} {len(part):>9,} {len(part) + len(part.codes):>11,} {seen}".rstrip())
    lines += ["length: words", *_histogram(words)]
    return "\n".join(lines)


def _histogram(words: Words) -> list[str]:
    counts = np.bincount(words.lengths)
    bars = -(-_BAR * counts // counts.max())
    return [f"  {n:>4} {counts[n]:>9,} {'#' * bars[n]}" for n in np.flatnonzero(counts)]


def main(args: list[str]) -> None:
    """Print the report."""
    config = parser().parse_args(args)
    print(describe(config["data.path"], config["data.split"]))
