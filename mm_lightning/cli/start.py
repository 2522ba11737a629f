"""The start of a command that may need Lightning, whose import takes longer than torch's: all else comes first.

Most errors in options can be seen before. And `predict` and `score` with their own options need no Lightning at all:
the work, its output and its errors are those of the same code under a Trainer. Options of the Trainer, the model, the
data or a config file need Lightning, as does the work of several processes.
"""

import atexit
import gc
import os
import sys
import typing
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from jsonargparse import Namespace

from mm_lightning.cli.arguments import FLAGS, find_checkpoint, name_card, ordered, peek, refuse_incomplete
from mm_lightning.commands import score
from mm_lightning.commands.parts.errors import is_first_process, one_line_errors, refuse_out_of_memory
from mm_lightning.commands.parts.library_warnings import log_to_stderr, silence_library_warnings
from mm_lightning.commands.parts.one_process import started_processes
from mm_lightning.commands.parts.parsing import OneLineParser, arguments, did_you_mean, option_names, refuse_nulls
from mm_lightning.data import ranges
from mm_lightning.data.files.lists import split_paths
from mm_lightning.data.files.reading import read_text
from mm_lightning.data.splits import SplitName
from mm_lightning.files import find_shipped
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.training import run_folders

_SECTIONS = {  # of options, and the classes whose arguments they are, a base before its subclass
    "trainer": (
        ("lightning.pytorch.trainer.trainer", "Trainer"),
        ("mm_lightning.training.trainer", "Trainer"),
        ("mm_lightning.cli.bounded_trainer", "BoundedTrainer"),
    ),
    "model": (("mm_lightning.training.module", "LanguageModel"),),
    "data": (("mm_lightning.data.datamodule", "ItemsDataModule"),),
    "last": (("mm_lightning.training.callbacks.checkpoints", "LastCheckpoint"),),
    "samples": (("mm_lightning.training.callbacks.samples", "SampleItems"),),
    "histograms": (("mm_lightning.training.callbacks.tensorboard.histograms", "Histograms"),),
}
_TYPES = {**vars(typing), **vars(ranges), "SplitName": SplitName}  # that need neither torch nor Lightning


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
            _refuse_early(line)
        if run_without_lightning(line):
            return
    with _importing():
        from mm_lightning.cli import application  # noqa: PLC0415 # takes seconds

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


def _refuse_early(line: list[str]) -> None:
    """Refuse ordered arguments without a checkpoint or a config, with one that is not there, or misspelled.

    Raises:
        UserError: If a file is missing or unfit, or options exclude each other.
        ArgumentError: If an option is missing or unknown.
    """
    seen = peek(line)
    given = {"--ckpt_path": seen.ckpt_path, "--init_from": seen.init_from, "--teacher": seen.teacher}
    for option, name in given.items():
        if name is None:
            continue
        path = run_folders.find_checkpoint(name, seen.root, option)
        try:
            path.stat()
        except FileNotFoundError:
            raise run_folders.no_such_checkpoint(path) from None
        except OSError:
            pass  # who reads the file says more
    if seen.ckpt_path is None and seen.init_from is None:
        refuse_incomplete(line)
    options = [arg for arg in takewhile(lambda arg: arg != "--", line[1:]) if arg.startswith("--")]
    if message := _misspelled(options):
        raise ArgumentError(None, message)
    paths = _parsed(options).get("data.path")
    if paths and line[0] in ("fit", "lr_find"):
        for name in split_paths(paths):
            if not os.path.exists(find_shipped(name)):  # noqa: PTH110 # any text
                read_text(Path(name))  # says what is wrong


def _misspelled(options: list[str]) -> str | None:
    """The parser's error about an unknown option in a section that is similar to a known one, before any import.

    The parser finds the other unknown options.
    """
    parts = {arg: arg.lstrip("-").partition("=")[0].removesuffix("+").split(".") for arg in options}
    sections = {section for section, *rest in parts.values() if rest and section in _SECTIONS}
    known = {f"--{section}.{name}" for section in sections for name in _arguments(section)}
    for arg, (section, *rest) in parts.items():
        option = f"--{section}.{rest[0]}" if rest and section in sections else None
        if option and option not in known and (hint := did_you_mean(option, known)):
            return f"unrecognized arguments: {arg}{hint}"
    return None


def _parsed(options: list[str]) -> Namespace:
    """Parse the options whose types need no import; the parser of the command finds wrong values of the others.

    Raises:
        ArgumentError: If a value is not of its type.
    """
    sections = {arg.lstrip("-").partition(".")[0] for arg in options} & {*_SECTIONS}
    parser = OneLineParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--seed_everything", type=ranges.Seed)
    for section in sorted(sections):
        for name, kind in _types(section).items():
            parser.add_argument(f"--{section}.{name}", type=kind)
    known = option_names(parser)
    return parser.parse_args([arg for arg in options if "=" in arg and arg.partition("=")[0] in known])


def _types(section: str) -> dict[str, Any]:
    """Types of the options of a section that need no import."""
    result: dict[str, Any] = {}
    for name, text in _arguments(section).items():
        with suppress(NameError):
            result |= get_type_hints(SimpleNamespace(__annotations__={name: text}), dict(_TYPES))
    return result


@cache
def _arguments(section: str) -> dict[str, str]:
    """Names of the options of a section, and the text of each one's type."""
    return {name: text for module, kind in _SECTIONS[section] for name, text in arguments(module, kind).items()}


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
