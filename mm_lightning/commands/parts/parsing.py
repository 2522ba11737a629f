"""A parser whose errors are one line: the setting, its value, and what it takes, or which option was meant.

jsonargparse reads null as "not given", and passes the null on. `refuse_nulls` refuses it where a setting takes none.
"""

import argparse
import ast
import os
import re
from argparse import ArgumentError
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import fields
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from types import NoneType
from typing import Any, NoReturn, get_args, get_type_hints

from jsonargparse import ArgumentParser, Namespace
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.commands.catalogue import COMMANDS, Command
from mm_lightning.sampling.options import SamplingOptions

_SAMPLING = "sampling"  # section of the options of `predict`
_UNKNOWN_ARGUMENTS = re.compile(r"unrecognized arguments: (\S+).*", re.DOTALL)
_UNKNOWN_OPTION = re.compile(r".*Option '(\S+)' is not accepted", re.DOTALL)
_MISSING_OPTION = re.compile(r"(arguments are required: )\w+\.")  # of a command
_NESTED_KEYS = re.compile(r'^Parser key "([^"]+)":\s+(?:Parser key "([^"]+)":|([\w.]+) is )')
_REFUSAL = re.compile(r'Parser key "([^"]+)":\s+(?=Not of type|Does not validate|Expected a)(.*)', re.DOTALL)
_TYPES = re.compile(
    r"^[ -]*(?:Not of type (.+?): |"
    r"Expected an? (?:<class '([^']+)'>|typing\.Literal\[(.+?)\]|([^\n]+?))(?:\. Got value|$))",
    re.MULTILINE,
)


def did_you_mean(word: str, known: Iterable[str], value: str = "") -> str:
    """A hint at the most similar of the known words; empty where none is similar.

    An option without its section, as --max_steps, is similar to the option in a section, --trainer.max_steps.

    Args:
        word: The word that is not known.
        known: The known words.
        value: Text behind the word in the hint.
    """
    known = sorted(known, key=lambda name: (not name.startswith("--sampling."), name))
    name = f".{word.lstrip('-')}"
    found = [option for option in known if word.startswith("--") and option.endswith(name)]
    found = found or get_close_matches(word, known, n=1, cutoff=0.75)
    return f"; did you mean {found[0]}{value}?" if found else ""


def option_names(parser: argparse.ArgumentParser) -> set[str]:
    """The long options of a parser and of its subcommands."""
    result = set()
    for action in parser._actions:
        result |= {name for name in action.option_strings if name.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            result = result.union(*map(option_names, (action.choices or {}).values()))
    return result


def _owners(option: str) -> str:
    """A hint at the commands that have an option of their own of this name."""
    owners = [name for name, command in COMMANDS.items() if option in _own_options(command)]
    return f"; it is an option of {', '.join(owners)}" if owners else ""


def _own_options(command: Command) -> set[str]:
    """The options that one command has besides those of model, data and Trainer."""
    if command.module is None:
        return set()
    if command.is_light:
        return option_names(import_module(command.module).make_parser())
    names = set(arguments(command.module, "run"))
    if _SAMPLING in names:
        names |= {f"{_SAMPLING}.{field.name}" for field in fields(SamplingOptions)}
    return {f"--{name}" for name in names}


def arguments(module: str, name: str) -> dict[str, str]:
    """Names of the arguments of a function, or of a class's constructor, and the text of each one's type.

    The module is read as text: its import could take seconds, for an error.

    Args:
        module: Import path of the module.
        name: Name of the function or class.
    """
    package, *rest = module.split(".")
    spec = find_spec(package)
    assert spec is not None and spec.submodule_search_locations is not None
    code = Path(spec.submodule_search_locations[0], *rest).with_suffix(".py").read_text(encoding="utf-8")
    (found,) = (node for node in ast.parse(code).body if getattr(node, "name", None) == name)
    if isinstance(found, ast.ClassDef):
        found = next(node for node in found.body if getattr(node, "name", None) == "__init__")
    assert isinstance(found, ast.FunctionDef)
    return {
        argument.arg: ast.unparse(argument.annotation)
        for argument in (*found.args.args, *found.args.kwonlyargs)
        if argument.annotation is not None
    }


def readable(message: str) -> str:
    """Reword jsonargparse's error about a value as the setting, its value and the accepted types."""
    message = _NESTED_KEYS.sub(
        lambda key: f'Parser key "{key[1]}.{key[2]}":' if key[2] else f"{key[1]}.{key[3]} is ", message
    )
    message = _MISSING_OPTION.sub(r"\1--", message)
    refusal = _REFUSAL.match(message)
    if refusal is None:
        return message
    kinds = dict.fromkeys(map("".join, _TYPES.findall(refusal[2])))  # without repeats
    wanted = ["null" if kind == "NoneType" else kind for kind in kinds]
    values = [refusal[2].rpartition(mark)[2] for mark in ("Given value: ", "Got value: ", ": ") if mark in refusal[2]]
    return f"{refusal[1]} is {values[0].strip()}; give {' or '.join(wanted)}"


class OneLineParser(ArgumentParser):
    """A parser that raises an `ArgumentError` with one line instead of printing pages of usage.

    The settings of a class have a parser of their own. Of its error, only the reason is kept, after the outer key.
    """

    @override
    def parse_args(self, *args: Any, **kwargs: Any) -> Namespace:  # type: ignore[override] # of many arguments
        try:
            return super().parse_args(*args, **kwargs)
        except RecursionError:
            self.error("the settings are nested too deeply; look for an anchor (&) that contains itself")
        except (UnicodeError, OSError) as error:
            self.error(f"a config file cannot be read: {error}")

    @override
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        cause: BaseException | None = ex
        while cause is not None and not isinstance(cause, ArgumentError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None and str(cause) == message:  # raised here before, and passed on by an outer parser
            name = cause.argument_name  # of a list: --data.path/--data.path+, which appends
            cause.argument_name = name and name.partition("/--")[0]
            raise cause
        reason = message if cause is None else f"{message.splitlines()[0]} {cause}"
        raise ArgumentError(None, f"{readable(reason)}{self._hint(message)}") from ex

    def _hint(self, message: str) -> str:
        """What was meant by an option or an argument that is not known; empty without a guess."""
        known = option_names(self)
        if unknown := _UNKNOWN_OPTION.fullmatch(message):  # a setting of a class
            return did_you_mean(unknown[1], [option.lstrip("-") for option in known])
        unknown = _UNKNOWN_ARGUMENTS.fullmatch(message)
        option = "" if unknown is None else unknown[1].partition("=")[0]
        if option.startswith("-"):
            return did_you_mean(option, known) or _owners(option)
        if option.endswith((".yaml", ".yml")):
            return did_you_mean("--config", known, f" {option}")
        return did_you_mean("--data.path", known, f" {option}") if os.path.isfile(option) else ""  # noqa: PTH113 # any text


def command_parser(name: str) -> OneLineParser:
    """Make the parser of a light command, whose texts the catalogue has; the caller adds the options."""
    command = COMMANDS[name]
    return OneLineParser(
        prog=f"mm_lightning {name}", description=command.summary, epilog=command.details or None, allow_abbrev=False
    )


def refuse_nulls(
    settings: dict[str, Any], kinds: Mapping[str, Callable[..., Any]], command: Callable[..., Any] | None = None
) -> None:
    """Refuse null for a setting whose type has no None.

    Args:
        settings: A whole configuration.
        kinds: Class of each section.
        command: Function of the command, whose arguments stand outside of the sections.

    Raises:
        UserError: Names the setting.
    """
    for section, kind in kinds.items():
        _refuse(settings.get(section) or {}, kind, f"{section}.")
    if command is not None:
        _refuse(settings, command, "")


def _refuse(settings: dict[str, Any], function: Callable[..., Any], section: str) -> None:
    """Refuse null in the arguments of a class or function, and of the classes among them."""
    hints = _type_hints(function)
    for name, value in settings.items():
        hint = hints.get(name, Any)
        if value is None and not _takes_none(hint):
            raise UserError(f"{section}{name} is null; leave it out or give {getattr(hint, '__name__', 'a value')}")
        for nested in value if isinstance(value, list) else [value]:
            if isinstance(nested, dict) and isinstance(nested.get("class_path"), str):
                inner = resolve_name(nested["class_path"])
                _refuse(nested.get("init_args") or {}, inner, f"{section}{name}.init_args.")


def _takes_none(hint: Any) -> bool:
    return hint in (Any, object, NoneType) or NoneType in get_args(hint)


def _type_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Types of the parameters of a function, or of a class and its bases; empty where they cannot be resolved."""
    bases = reversed(function.__mro__) if isinstance(function, type) else ()
    result: dict[str, Any] = {}
    for constructor in (*(vars(base).get("__init__") for base in bases), function):
        with suppress(NameError, TypeError, AttributeError):
            result |= get_type_hints(constructor)
    return result
