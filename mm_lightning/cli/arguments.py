"""The order of arguments: jsonargparse applies each where it stands, so the same options could mean another run.

Here every config file comes first, then the options by depth, `--model.network` before
`--model.network.init_args.hidden_dim`. Of several values for one option, the last still counts.
"""

import re
from argparse import ArgumentError
from pathlib import Path

from mm_lightning import UserError
from mm_lightning.commands.parts.parsing import did_you_mean
from mm_lightning.files import find_shipped
from mm_lightning.training.run_folders import CARD, WEIGHTS

_WITHOUT_CHECKPOINT = ("fit", "lr_find")  # commands that can start from a config alone
_CONFIG = "--config"
_FLAGS = ("-h", "--help", "--print_config")  # take no value
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
        elif equals or (option not in _FLAGS and rest and _VALUE.match(rest[-1])):
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
    if not given and set(_FLAGS) & set(args):
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
    if set(_FLAGS) & set(args):
        return
    options = [arg.partition("=")[0] for arg in args if arg.startswith("--")]
    if command not in _WITHOUT_CHECKPOINT:
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
