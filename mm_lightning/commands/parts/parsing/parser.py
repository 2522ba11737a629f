"""A parser whose errors are one line: the setting, its value, and what it takes, or which option was meant."""

import argparse
import os
import re
from argparse import ArgumentError
from dataclasses import fields
from importlib import import_module
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace
from typing_extensions import override

from mm_lightning.commands.catalogue import COMMANDS, Command
from mm_lightning.commands.parts.parsing.source import arguments
from mm_lightning.commands.parts.parsing.wording import did_you_mean, readable
from mm_lightning.sampling.options import SamplingOptions

_SAMPLING = "sampling"  # section of the options of `predict`
_UNKNOWN_ARGUMENTS = re.compile(r"unrecognized arguments: (\S+).*", re.DOTALL)
_UNKNOWN_SETTING = re.compile(r".*Option '(\S+)' is not accepted|.* does not accept option '(\S+)'", re.DOTALL)


def option_names(parser: argparse.ArgumentParser) -> set[str]:
    """The long options of a parser and of its subcommands."""
    result = set()
    for action in parser._actions:
        result |= {name for name in action.option_strings if name.startswith("--")}
        if isinstance(action, argparse._SubParsersAction):
            result = result.union(*map(option_names, (action.choices or {}).values()))
    return result


def descriptions(kind: type) -> dict[str, str]:
    """The help on each argument of a class's constructor, from its docstring."""
    parser = ArgumentParser()
    parser.add_class_arguments(kind)
    return {action.dest: action.help or "" for action in parser._actions}


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
    names = set(arguments(command.module, "run") or ())
    if _SAMPLING in names:
        names |= {f"{_SAMPLING}.{field.name}" for field in fields(SamplingOptions)}
    return {f"--{name}" for name in names}


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
        if unknown := _UNKNOWN_SETTING.fullmatch(message):  # of a class, or in a config file
            return did_you_mean(unknown[1] or unknown[2], [option.lstrip("-") for option in known])
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
