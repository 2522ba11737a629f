"""The commands there are, and how one fails: known without torch, which takes seconds to import."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

DESCRIPTION = "Learn from a list of items, one per line, and make more like them."
COMMANDS = {
    "fit": "Train a model, from the start or from a checkpoint.",
    "validate": "Measure a checkpoint's loss on the dev split.",
    "test": "Measure a checkpoint's loss on the test split, which nothing was chosen by.",
    "predict": "Write new words, one per line, to stdout or a file.",
    "score": "Print words with their negative log-likelihood, in all and per target.",
    "lr_find": "Find a learning rate by a range test: train for some steps as it rises, and look at the loss.",
    "quality": "Draw words and measure how good they are, beside those of the dev split.",
    "plot": "Draw what a checkpoint has learned, and how: pictures in a folder.",
    "sweep": "Search for settings: many short fits, pruned and resumable, and a config of the best.",
    "report": "Describe the data: lines, repeats, alphabet, lengths, splits.",
}
DETAILS = {  # what --help of a command says besides
    "quality": (
        "Columns: words, those that ended within the longest training word's length; valid, their share of all that "
        "were begun; unique, different words as a share of all, of the first 1,000 and of the first 10,000; new, the "
        "share of the different words that training lacks; dev_hits and test_hits, the share drawn of the split's "
        "words unseen in training, which is a look at the test split; lengths, first, last and bigrams, exp(-KL) of "
        "how often each length, first character, last character and pair of neighbours occurs in training to how "
        "often it was drawn, 1 where both are alike; edits, from a new word to the nearest training word, in the mean "
        "over as many as edits_of says. The row dev measures words of dev as if they had been drawn. Most measures "
        "depend on the number of words: where dev has fewer than are drawn, as many of the first drawn have a row "
        "too. For a model of sentences, words take the place of characters."
    )
}
WITHOUT_TRAINER = frozenset({"report", "sweep"})  # commands with a parser of their own, which need no torch to start


def overview() -> str:
    """Help on the commands as a whole."""
    parser = ArgumentParser("mm_lightning", description=DESCRIPTION, epilog="COMMAND --help describes its options.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    return parser.format_help()


def fail(message: str, status: int) -> NoReturn:
    """End with an error of one line."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
    sys.exit(status)


@contextmanager
def errors_of_one_line(*more: type[Exception]) -> Iterator[None]:
    """Turn what can go wrong after the arguments are parsed into an exit with status 1.

    Args:
        more: Kinds of errors that are a user's to deal with, besides ValueError and OSError.
    """
    kinds: tuple[type[Exception], ...] = (ValueError, OSError, *more)
    try:
        yield
    except BrokenPipeError:  # whoever read stdout has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except kinds as error:
        fail(str(error), status=1)
