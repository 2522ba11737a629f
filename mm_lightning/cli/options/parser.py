"""LightningCLI with public names for its private methods, and a parser that raises instead of exiting.

Every private attribute of LightningCLI that this application overrides, reads or writes stands in this file;
`tests/test_contracts.py` checks each against the installed version.
"""

import re
from typing import Any

from lightning.pytorch import Trainer as LightningTrainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.commands.parts.parsing.parser import OneLineParser, option_names

_ABSENT_PACKAGE = re.compile(r"Requirement '([^']+)' not met")  # as Lightning says it
_CLASS = re.compile(r"class_path '[\w.]*?(\w+)'")


class Parser(OneLineParser, LightningArgumentParser):
    """Lightning's parser, with errors of one line.

    jsonargparse makes further ones without a name, to print the options of a class: `fit --model.network.help CLASS`.
    """

    def __init__(self, *args: Any, prog: str = "mm_lightning fit", **kwargs: Any) -> None:
        super().__init__(*args, prog=prog, **kwargs)

    @override
    def format_help(self, *args: Any) -> str:
        text: str = super().format_help(*args)
        return text if option_names(self) else f"{text}\nThe class has no options.\n"


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
    def instantiate_classes(self) -> None:
        """Make the objects of the settings.

        Raises:
            UserError: If a configured class needs a package that is not installed, as loggers do.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            absent, given = _ABSENT_PACKAGE.search(str(error)), _CLASS.search(str(error))
            if absent is None or given is None:
                raise
            name, package = given[1], absent[1]
            raise UserError(f"{name} needs a package that is not installed; run: uv pip install '{package}'") from None

    @override
    def _parse_ckpt_path(self) -> None:
        """Do nothing: `parse_arguments` has already applied the checkpoint, at lowest precedence."""

    @override
    def _prepare_subcommand_kwargs(self, subcommand: str) -> dict[str, Any]:
        return self.command_arguments(subcommand, super()._prepare_subcommand_kwargs(subcommand))
