"""The start of a command that may need Lightning, whose import takes longer than torch's: all else comes first.

Most errors in options can be seen before. And `predict` and `score` with their own options need no Lightning at all:
the work, its output and its errors are those of the same code under a Trainer. Options of the Trainer, the model, the
data or a config file need Lightning, as does the work of several processes.
"""

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jsonargparse import Namespace

from mm_lightning.cli.options.arguments import FLAGS, find_checkpoint, name_card, ordered, peek
from mm_lightning.cli.options.refusals import refuse_early, tell_unused_seed
from mm_lightning.commands import score
from mm_lightning.commands.parts.errors import is_first_process, one_line_errors, refuse_out_of_memory
from mm_lightning.commands.parts.library_warnings import log_to_stderr, silence_library_warnings
from mm_lightning.commands.parts.one_process import started_processes
from mm_lightning.commands.parts.parsing.nulls import refuse_nulls
from mm_lightning.commands.parts.parsing.parser import OneLineParser, option_names
from mm_lightning.commands.parts.parsing.wording import did_you_mean
from mm_lightning.sampling.options import SamplingOptions


def main(args: list[str]) -> None:
    """Run a command.

    Args:
        args: The command line, without the program's name; the first argument is the command.

    Raises:
        SystemExit: 2 for arguments that cannot be parsed, 1 for a later failure.
        Stopped: After SIGINT or SIGTERM.
    """
    silence_library_warnings()
    with one_line_errors(), refuse_out_of_memory():
        line = ordered(args)
        if args[0] == "verify":
            line = name_card(line)
        if is_first_process():
            refuse_early(line)
        if run_without_lightning(line):
            return
    with _importing():
        from mm_lightning.cli import application  # noqa: PLC0415 # takes seconds

    tell_unused_seed(line)
    application.main(line)


@contextmanager
def _importing() -> Iterator[None]:
    """Import without collecting garbage, then or later: what modules hold lives until the end.

    Python would search all of it again and again, and once more at the exit, which takes as long as half the import.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        atexit.register(_thaw)


def _thaw() -> None:
    if "triton" in sys.modules:  # it tells of each object that is left at the exit
        gc.unfreeze()


def run_without_lightning(line: list[str]) -> bool:
    """Run `predict` or `score` if ordered arguments have their own options only; return whether that is so.

    Raises:
        UserError: If an option or the checkpoint cannot be used.
        ArgumentError: If the arguments cannot be parsed.
    """
    config = None if started_processes()[1] > 1 else _own_options(line)
    if config is None:
        return False
    items = score.requested_items(config["words"], config["input"]) if line[0] == "score" else []
    with _importing():
        from mm_lightning.cli import opening  # noqa: PLC0415 # imports torch, which takes seconds
    log_to_stderr()
    seen = peek(line)
    path = find_checkpoint(config["ckpt_path"], seen.root)
    if line[0] == "score":
        opening.score(path, seen.text, items, config["label"])
    else:
        opening.predict(path, seen.text, config["sampling"])
    return True


def _own_options(line: list[str]) -> Namespace | None:
    """Parse ordered arguments of `predict` or `score`; None for another command, or if there are other options."""
    parser = OneLineParser(prog=f"mm_lightning {line[0]}", allow_abbrev=False, add_help=False)
    parser.add_argument("--ckpt_path", type=str)
    if line[0] == "predict":
        parser.add_class_arguments(SamplingOptions, "sampling")
    elif line[0] == "score":
        parser.add_function_arguments(score.run, skip={"trainer", "model", "ckpt_path", "words"})
        parser.add_argument("words", nargs="*")
    else:
        return None
    known = option_names(parser)
    options = [arg.partition("=")[0] for arg in line[1:] if arg.startswith("-")]
    if any(option in FLAGS or not (option in known or _is_refused(option, known)) for option in options):
        return None
    if line[0] == "predict" and len(options) < len(line) - 1:  # words: a hint at their option needs all options
        return None
    config = parser.parse_args(line[1:])
    refuse_nulls(config.as_dict(), {"sampling": SamplingOptions}, score.run if line[0] == "score" else None)
    result: Namespace = parser.instantiate_classes(config)
    return result


def _is_refused(option: str, known: set[str]) -> bool:
    """Whether an unknown option is surely none of the other options, of which no list is here."""
    return option.startswith("--sampling.") or ("." not in option and bool(did_you_mean(option, known)))
