"""LightningCLI with public names for its private methods, and a parser that raises instead of exiting.

Every private attribute of LightningCLI that this application overrides, reads or writes stands in this file;
`tests/test_contracts.py` checks each against the installed version.
"""

import re
from argparse import ArgumentError
from typing import Any, NoReturn

from lightning.pytorch import Trainer as LightningTrainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from typing_extensions import override

_NESTED_KEYS = re.compile(r'^Parser key "([^"]+)":\s+(?:Parser key "([^"]+)":|([\w.]+) is )')
_REFUSAL = re.compile(r'Parser key "([^"]+)":\s+(?=Not of type|Does not validate|Expected a)(.*)', re.DOTALL)
_TYPES = re.compile(
    r"^[ -]*(?:Not of type (.+?): |"
    r"Expected an? (?:<class '([^']+)'>|typing\.Literal\[(.+?)\]|([^\n]+?))(?:\. Got value|$))",
    re.MULTILINE,
)


def readable(message: str) -> str:
    """Reword jsonargparse's error about a value as the setting, its value and the accepted types."""
    message = _NESTED_KEYS.sub(
        lambda key: f'Parser key "{key[1]}.{key[2]}":' if key[2] else f"{key[1]}.{key[3]} is ", message
    )
    refusal = _REFUSAL.match(message)
    if refusal is None:
        return message
    wanted = ["null" if kind == "NoneType" else kind for kind in map("".join, _TYPES.findall(refusal[2]))]
    values = [refusal[2].rpartition(mark)[2] for mark in ("Given value: ", "Got value: ", ": ") if mark in refusal[2]]
    return f"{refusal[1]} is {values[0].strip()}; give {' or '.join(wanted)}"


class Parser(LightningArgumentParser):
    """Lightning's parser, which raises an `ArgumentError` with one line instead of printing pages of usage.

    The settings of a class have a parser of their own. Of its error, only the reason is kept, after the outer key.
    """

    @override
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        cause: BaseException | None = ex
        while cause is not None and not isinstance(cause, ArgumentError):
            cause = cause.__cause__ or cause.__context__
        if cause is not None and str(cause) == message:  # raised here before, and passed on by an outer parser
            raise cause
        reason = message if cause is None else f"{message.splitlines()[0]} {cause}"
        raise ArgumentError(None, readable(reason)) from ex


class CommandLine(LightningCLI):
    """LightningCLI with public methods for subclasses, and without reading settings from checkpoints."""

    def command_parsers(self) -> dict[str, LightningArgumentParser]:
        """The parser of each subcommand, by name."""
        return self._subcommand_parsers

    def instantiated(self, key: str) -> Any:
        """The instantiated value of a key, with or without a subcommand."""
        return self._get(self.config_init, key)

    def make_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> LightningTrainer:
        """The Trainer of `trainer_class` with these callbacks after the configured ones."""
        return self._instantiate_trainer(config, callbacks)

    def command_arguments(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the command's function; a subclass may change the arguments that Lightning proposes."""
        return arguments

    @override
    def _parse_ckpt_path(self) -> None:
        """Do nothing: `parse_arguments` has already applied the checkpoint, at lowest precedence."""

    @override
    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        return self.command_arguments(subcommand, super()._prepare_subcommand_kwargs(subcommand))
