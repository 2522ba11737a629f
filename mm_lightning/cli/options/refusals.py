"""Errors in options and config files that are told before Lightning's import, which takes seconds.

The options are those in the source of the classes that they set. What is not refused here, the parser checks.
"""

import os
import re
import typing
from argparse import ArgumentError
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

from jsonargparse import Namespace
from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning.cli.options.arguments import STARTING, TRAINING, Peek, peek, refuse_incomplete
from mm_lightning.commands.parts.parsing.config_files import as_options
from mm_lightning.commands.parts.parsing.parser import OneLineParser, option_names
from mm_lightning.commands.parts.parsing.source import arguments
from mm_lightning.commands.parts.parsing.wording import CLASS_MODULES, did_you_mean
from mm_lightning.data import ranges
from mm_lightning.data.files.lists import split_paths
from mm_lightning.data.files.reading import read_text
from mm_lightning.data.splits import SplitName
from mm_lightning.files import find_shipped
from mm_lightning.training import run_folders

SECTIONS = {  # of options, and the class whose arguments they are
    "trainer": ("mm_lightning.cli.bounded_trainer", "BoundedTrainer"),
    "model": ("mm_lightning.training.module", "LanguageModel"),
    "data": ("mm_lightning.data.datamodule", "ItemsDataModule"),
    "last": ("mm_lightning.training.callbacks.checkpoints", "LastCheckpoint"),
    "samples": ("mm_lightning.training.callbacks.samples", "SampleItems"),
    "histograms": ("mm_lightning.training.callbacks.tensorboard.histograms", "Histograms"),
}
_CLASSES = ("model.network", "model.optimizer", "model.lr_scheduler")  # settings that name a class, with its arguments
_OWN_TYPES = ("mm_lightning", "torch")  # packages in which the names below mean the types below
_SEEDS = {"predict": "--sampling.seed", "quality": "--seed"}  # of sampling
_TYPES = {**vars(typing), **vars(ranges), "SplitName": SplitName}  # that need neither torch nor Lightning


def refuse_early(line: list[str]) -> None:
    """Refuse ordered arguments without a checkpoint or a config, with one that is not there, misspelled, or wrong.

    Raises:
        UserError: If a file is missing or unfit, or options exclude each other.
        ArgumentError: If an option is missing, unknown, or has a wrong value.
    """
    seen = peek(line)
    _refuse_missing_checkpoints(seen)
    if seen.ckpt_path is None and seen.init_from is None:
        refuse_incomplete(line)
    options = _options(line)
    if message := _misspelled(options):
        raise ArgumentError(None, message)
    if line[0] not in STARTING:  # it passes over parts of a config
        _parsed(options, {})
        return
    settings = [as_options(text) for text in seen.configs]
    for each in settings:
        _refuse_unknown(each, line[0])
    classes: dict[str, tuple[str, str]] = {}
    _refuse_missing_lists([(each, _parsed(each, classes)) for each in (*settings, options)])


def tell_unused_seed(line: list[str]) -> None:
    """Say that the seed of training, if the command line has it, has no effect on a command that takes no steps.

    A config file may have it: the config of a run serves every command.
    """
    command = line[0]
    given = next((arg for arg in _options(line) if _name(arg) == "seed_everything"), None)
    if given is not None and command not in TRAINING:
        remedy = f"; set {_SEEDS[command]}" if command in _SEEDS else ""
        rank_zero_info(f"{given.replace('=', ' ', 1)} has no effect on {command}{remedy}")


def _options(line: list[str]) -> list[str]:
    """The long options among ordered arguments, with their values."""
    return [arg for arg in takewhile(lambda arg: arg != "--", line[1:]) if arg.startswith("--")]


def _refuse_missing_checkpoints(seen: Peek) -> None:
    """Refuse checkpoints that are not there.

    Raises:
        UserError: Names the first one.
    """
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


def _refuse_missing_lists(parsed: list[tuple[list[str], Namespace]]) -> None:
    """Refuse lists that are not there.

    Args:
        parsed: The settings of each config file and the options, in their order, and the values of each.

    Raises:
        UserError: Names the first one.
    """
    paths = None
    for options, values in parsed:
        for arg in options:
            if _name(arg) in ("data", "data.path"):  # None for a file of settings and a list, which the parser reads
                paths = values.get("data.path") if arg.startswith("--data.path=") else None
    for name in [] if paths is None else split_paths(paths):
        if not os.path.exists(find_shipped(name)):  # noqa: PTH110 # any text
            read_text(Path(name))  # says what is wrong


def _name(option: str) -> str:
    """Name of a setting, without its value."""
    return option.lstrip("-").partition("=")[0].removesuffix("+")


def _misspelled(options: list[str]) -> str | None:
    """The parser's error about an unknown option in a section that is similar to a known one.

    The parser finds the other unknown options.
    """
    sections = {section for section, dot, _ in (_name(arg).partition(".") for arg in options) if dot} & {*SECTIONS}
    known = {f"--{section}.{name}" for section in sections for name in _arguments(section)}
    for arg in options:
        section, *rest = _name(arg).split(".")
        option = f"--{section}.{rest[0]}" if rest and section in sections else None
        if option and option not in known and (hint := did_you_mean(option, known)):
            return f"unrecognized arguments: {arg}{hint}"
    return None


def _refuse_unknown(settings: list[str], command: str) -> None:
    """Refuse a config file with unknown settings in a section.

    Raises:
        ArgumentError: Names the first one.
    """
    for name in map(_name, settings):
        section, *rest = name.split(".")
        if rest and section in SECTIONS and rest[0] not in (known := _arguments(section)):
            hint = did_you_mean(name, [f"{section}.{other}" for other in known])
            raise ArgumentError(None, f"{name} is not an option of {command}{hint}")


def _parsed(options: list[str], classes: dict[str, tuple[str, str]]) -> Namespace:
    """Parse the options whose types need no import; the parser of the command finds wrong values of the others.

    Args:
        options: Options of a command line, or settings of a config file.
        classes: Module and name of the class of a setting, as far as they are known; those that options set are added.

    Raises:
        ArgumentError: If a value is not of its type, or is for an argument that a class does not have.
    """
    for arg in options:
        setting, value = _name(arg).removesuffix(".class_path"), arg.partition("=")[2]
        if setting == "model":
            classes.clear()
        elif setting in _CLASSES:
            module, _, kind = value.rpartition(".")
            classes[setting] = module or CLASS_MODULES[setting], kind
    sections = {_name(arg).partition(".")[0] for arg in options} & {*SECTIONS}
    kinds = {f"{section}.{name}": text for section in sorted(sections) for name, text in _arguments(section).items()}
    given = [re.sub(r"^(--model\.\w+)\.init_args\.", r"\1.", arg) for arg in options]  # two spellings of one option
    for arg in given:
        section, *rest = _name(arg).split(".", 3)
        setting = f"{section}.{rest[0]}" if len(rest) > 1 else ""
        known = arguments(*classes[setting]) if setting in classes else None
        if known is None or rest[1] in ("class_path", "init_args", "dict_kwargs", "help"):
            continue
        if rest[1] not in known:
            raise ArgumentError(None, f"{setting}.{rest[1]} is not an option{did_you_mean(rest[1], known)}")
        if classes[setting][0].partition(".")[0] in _OWN_TYPES:
            kinds[f"{setting}.{rest[1]}"] = known[rest[1]]
    parser = OneLineParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--seed_everything", type=ranges.Seed)
    for name, kind in _types(kinds).items():
        parser.add_argument(f"--{name}", type=kind)
    typed = option_names(parser)
    pairs = [arg.partition("=") for arg in given]  # null is left to the parser, which says more on it
    return parser.parse_args(
        [f"{name}={value}" for name, _, value in pairs if name in typed and value not in ("", "null")]
    )


def _types(texts: dict[str, str]) -> dict[str, Any]:
    """Types, of their texts, as far as they need no import."""
    result: dict[str, Any] = {}
    for name, text in texts.items():
        with suppress(NameError):
            result |= get_type_hints(SimpleNamespace(__annotations__={name: text}), dict(_TYPES))
    return result


def _arguments(section: str) -> dict[str, str]:
    """Names of the options of a section, and the text of each one's type."""
    result = arguments(*SECTIONS[section])
    assert result is not None
    return result
