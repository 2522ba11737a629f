"""Arguments before they are parsed: their order, and what the application reads and refuses first.

jsonargparse applies each argument where it stands, so the same options could mean another run. Here every config file
comes first, then the options by depth, `--model.network` before `--model.network.init_args.hidden_dim`. Of several
values for one option, the last still counts.
"""

import os
import re
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning import UserError
from mm_lightning.commands.parts.parsing.config_files import as_options, config_files, read_config
from mm_lightning.commands.parts.parsing.wording import did_you_mean
from mm_lightning.files import find_shipped
from mm_lightning.training import run_folders
from mm_lightning.training.run_folders import CARD, LOGS, WEIGHTS

STARTING = ("fit", "lr_find")  # commands that can start from a config alone
TRAINING = (*STARTING, "plot")  # commands that take optimiser steps
_FIT_OPTIONS = ("init_from", "teacher", "teacher_items")  # which other commands find in a run's config and pass over
_CONFIG = "--config"
_ROOT = "--trainer.default_root_dir="
FLAGS = ("-h", "--help", "--print_config")  # take no value
_VALUE = re.compile(r"[^-]|-$|-\.?\d|$|.* ", re.DOTALL)  # of an argument that is no option, as argparse decides


def ordered(args: list[str]) -> list[str]:
    """Put the options of a command into the order of their precedence, each in one argument with its value.

    Args:
        args: Command line without the program's name; the first is the command.

    Returns:
        The command, config files, options by depth, options without a value, and words. Shipped config files have
        their full paths.

    Raises:
        UserError: If the value of an option is `--`, which argparse takes for the end of the options.
    """
    options: list[tuple[str, str]] = []
    lone: list[str] = []
    words: list[str] = []
    rest = args[:0:-1]
    while rest:
        arg = re.sub(r"^-c(?=.)=?", "--config=", rest.pop(), flags=re.DOTALL)  # -cFILE and -c=FILE
        if arg == "--":
            words += ["--", *reversed(rest)]
            break
        option, equals, value = arg.partition("=")
        if _VALUE.match(option):
            words.append(arg)
        elif equals or (option not in FLAGS and rest and _VALUE.match(rest[-1])):
            options.append((_CONFIG if option == "-c" else option, value if equals else rest.pop()))
        else:
            lone.append(arg)
    if ended := next((option for option, value in options if value == "--"), None):
        raise UserError(f"{ended} is --, which ends the options; give another value")
    appended = {option.removesuffix("+") for option, _ in options if option.endswith("+")}
    options.sort(key=lambda pair: _rank(pair[0], appended))
    pairs = [f"{option}={find_shipped(value) if option == _CONFIG else value}" for option, value in options]
    return [*args[:1], *pairs, *lone, *words]


def name_card(args: list[str]) -> list[str]:
    """Name the card and the model of `verify CARD`, where CARD is a card or the folder of a model with its card.

    Args:
        args: Ordered arguments of the command.

    Raises:
        ArgumentError: If there is no card, or the model is not beside it and not given.
    """
    given = [arg for arg in args[1:] if not arg.startswith("-")]
    if not given and set(FLAGS) & set(args):
        return args
    if len(given) != 1:
        raise ArgumentError(None, "verify needs one card: a Markdown file, or the folder of it and the weights")
    path = Path(given[0])
    card, folder = (path / CARD, path) if path.is_dir() else (path, path.parent)
    options = [arg for arg in args[1:] if arg not in given]
    if not any(option.startswith("--ckpt_path=") for option in options):
        if not (folder / WEIGHTS).is_file():
            raise ArgumentError(None, f"verify {path}: no {WEIGHTS} beside the card; give the model as --ckpt_path")
        options = [f"--ckpt_path={folder}", *options]
    return [args[0], *options, f"--card={card}"]


def refuse_incomplete(args: list[str]) -> None:
    """Refuse ordered arguments without a checkpoint that name no config either, or whose command needs a checkpoint.

    Raises:
        ArgumentError: Names the missing option.
    """
    command = args[0]
    if set(FLAGS) & set(args):
        return
    options = [arg.partition("=")[0] for arg in args if arg.startswith("--")]
    if command not in STARTING:
        raise ArgumentError(
            None,
            f"{command} needs --ckpt_path: a file, or last or best for that of the newest run"
            f"{_mistyped('--ckpt_path', options)}",
        )
    if not any(option == _CONFIG or option.startswith("--model") for option in options):
        raise ArgumentError(None, f"{command} needs --config{_how_to_begin(args)}{_mistyped(_CONFIG, options)}")


def refuse_list(args: list[str]) -> None:
    """Refuse a list of items as the value of --data, which takes settings.

    Raises:
        ArgumentError: Names the option that takes a list.
    """
    for arg in args:
        option, _, value = arg.partition("=")
        if option == "--data" and not value.endswith((".yaml", ".yml")) and not value.startswith("{"):
            raise ArgumentError(None, f"--data {value}: --data takes settings; give a list as --data.path {value}")


def _mistyped(option: str, given: list[str]) -> str:
    meant = next((name for name in given if did_you_mean(name, [option])), None)
    return f"; is {meant} meant to be {option}?" if meant else ""


def _how_to_begin(args: list[str]) -> str:
    """How a command begins with the list or the recipe that was given without its option."""
    for arg in args[1:]:
        option, _, value = arg.partition("=")
        if option.endswith((".yaml", ".yml")):
            return f": give --config {arg}"
        path = value if option == "--data.path" else "" if option.startswith("-") else arg
        if path:
            return (
                f", for example --config configs/mlp_fast.yaml --data.path {path}; "
                f"for items at once: python -m mm_lightning make {path}"
            )
    return ", for example --config configs/mlp.yaml"


def _rank(option: str, appended: set[str]) -> tuple[int, bool]:
    """Position of an option: config files, then by depth; a list is set before elements are appended.

    Elements that are appended, and options of the last element, keep their order among themselves.
    """
    if option == _CONFIG:
        return -1, False
    parts = option.removesuffix("+").removesuffix(".class_path").split(".")  # two spellings of one option
    for depth in range(1, len(parts) + 1):
        if ".".join(parts[:depth]) in appended:
            return depth, depth < len(parts) or option.endswith("+")
    return len(parts), False


_DERIVED = {  # options that the application sets itself, and the option each follows from
    "--data.block_size": "--model.network.init_args.block_size",
    "--data.seed": "--seed_everything",
    "--model.alphabet": "--data.alphabet",
    "--model.labels": "--data.label",
    "--data.labels": "--data.label",
}


def find_checkpoint(name: str, root: Path, option: str = "--ckpt_path") -> Path:
    """Resolve the value of an option to a file; say which file `last` or `best` is.

    Raises:
        UserError: As `run_folders.find_checkpoint`.
    """
    path = run_folders.find_checkpoint(name, root, option)
    if str(path) != name:
        rank_zero_info(f"{option} {name}: {os.path.relpath(path)}")
    return path


@dataclass(frozen=True)
class Peek:
    """Arguments that the application reads before parsing the others.

    Args:
        command: The subcommand, the first argument.
        ckpt_path: Value of --ckpt_path, if any.
        init_from: Value of --init_from, if any.
        teacher: Value of --teacher, if any.
        root: Folder of the runs.
        configs: Texts of the values of --config.
        text: The whole command line and these texts.
    """

    command: str
    ckpt_path: str | None
    init_from: str | None
    teacher: str | None
    root: Path
    configs: list[str]
    text: str


def refuse_derived(options: Iterable[str]) -> None:
    """Refuse options that the application sets itself.

    Raises:
        UserError: Names the option to set instead.
    """
    for option in options:
        if option in _DERIVED:
            raise UserError(f"{option} follows from {_DERIVED[option]}; set that instead")


def peek(args: list[str]) -> Peek:
    """Find command, checkpoint and folder of the runs in ordered arguments.

    Raises:
        UserError: If an option is given that follows from another, or that excludes another.
        ArgumentError: If there is no such config file, or an option is one of `fit` alone.
    """
    refuse_list(args)
    refuse_derived(arg.partition("=")[0] for arg in args)
    peeker = ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    peeker.add_argument("--ckpt_path")
    for name in _FIT_OPTIONS:
        peeker.add_argument(f"--{name}")
    peeker.add_argument("--config", action="append", default=[])
    peeker.add_argument("--trainer.default_root_dir", dest="root")
    known, _ = peeker.parse_known_args([arg for arg in args if arg.partition("=")[2] != "null"])
    for path in known.config:
        if path.endswith((".yaml", ".yml")) and not os.path.exists(path):  # noqa: PTH110 # any text
            raise ArgumentError(None, f"--config {path}: no such file; name a file with settings in YAML")
    texts = {path: read_config(path) for path in config_files(args)}
    files = [text for path, text in texts.items() if path in known.config]
    for name in _FIT_OPTIONS:
        if args[0] != "fit" and (value := getattr(known, name)) is not None:
            raise ArgumentError(None, f"--{name} {value}: it is an option of fit")
    if known.ckpt_path is not None and known.init_from is not None:
        raise UserError(
            f"--ckpt_path {known.ckpt_path} resumes a run, and --init_from {known.init_from} starts one; leave one out"
        )
    text = "\n".join([*args, *files])
    roots = [arg.removeprefix(_ROOT) for file in files for arg in as_options(file) if arg.startswith(_ROOT)]
    root = known.root or next((each for each in reversed(roots) if each != "null"), ".")
    return Peek(args[0], known.ckpt_path, known.init_from, known.teacher, Path(root) / LOGS, files, text)
