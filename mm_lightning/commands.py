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
    "plot": "Draw what a checkpoint has learned, and how: pictures in a folder.",
    "report": "Describe the data: lines, repeats, alphabet, lengths, splits.",
}
WITHOUT_TRAINER = frozenset({"report"})  # commands with a parser of their own, which need no torch to start


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
