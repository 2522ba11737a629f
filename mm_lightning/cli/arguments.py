"""The order of arguments: jsonargparse applies each where it stands, so the same options could mean another run.

Here every config file comes first, then the options by depth, `--model.network` before
`--model.network.init_args.hidden_dim`. Of several values for one option, the last still counts.
"""

import re

from mm_lightning import UserError
from mm_lightning.files import find_shipped

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


def refuse_incomplete(args: list[str]) -> None:
    """Refuse ordered arguments without a checkpoint that name no config either, or whose command needs a checkpoint.

    Raises:
        UserError: Names the missing option.
    """
    command = args[0]
    if set(_FLAGS) & set(args):
        return
    if command not in _WITHOUT_CHECKPOINT:
        raise UserError(f"{command} needs --ckpt_path: a file, or last or best for that of the newest run")
    if not any(arg.startswith((_CONFIG, "--model")) for arg in args):
        raise UserError(f"{command} needs --config, for example --config configs/mlp.yaml")


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
