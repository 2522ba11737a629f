"""The sweep command: its arguments, and its end. `--help` needs neither Optuna, which is an extra, nor torch."""

import shlex
import sys
from argparse import ArgumentError
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mm_lightning import UserError
from mm_lightning.cli.options.arguments import ordered
from mm_lightning.commands.parts.errors import USAGE_STATUS, fail, hide_passwords
from mm_lightning.commands.parts.parsing.config_files import config_files, read_config
from mm_lightning.commands.parts.parsing.nulls import refuse_nulls
from mm_lightning.commands.parts.parsing.parser import OneLineParser, command_parser
from mm_lightning.sweep.options import SweepOptions
from mm_lightning.sweep.settings import Settings, parse_value
from mm_lightning.training.stop_signals import Stopped, StopSignals


@dataclass(frozen=True)
class Arguments:
    """The parsed command line.

    Args:
        options: Options of the search.
        overrides: Settings of every trial, by dotted key.
        name: Name of the config file, for the study.
    """

    options: SweepOptions
    overrides: Settings
    name: str


def make_parser() -> OneLineParser:
    """Make the parser of the options that are not dotted."""
    parser = command_parser("sweep")
    parser.add_argument(
        "-c", "--config", action="config", help="Config file with the options below, such as configs/sweeps/mlp.yaml."
    )
    parser.add_class_arguments(SweepOptions)
    return parser


def parse(args: list[str]) -> Arguments:
    """Parse the command line.

    Raises:
        SystemExit: 2 for arguments that cannot be parsed.
    """
    own, overrides = _split(args)
    if not any(arg.startswith(("--config", "--base", "-h")) or arg == "--help" for arg in own):
        fail("sweep needs --config, for example --config configs/sweeps/mlp.yaml", USAGE_STATUS)
    for path in config_files(own):
        read_config(path)
    try:
        config = make_parser().parse_args(own)
    except ArgumentError as error:
        fail(str(error), USAGE_STATUS)
    refuse_nulls({field.name: config[field.name] for field in fields(SweepOptions)}, {}, SweepOptions)
    options = SweepOptions(**{field.name: config[field.name] for field in fields(SweepOptions)})
    files = config["config"]
    return Arguments(options, overrides, Path(files[-1]).stem if files else "sweep")


def _split(args: list[str]) -> tuple[list[str], Settings]:
    """Split the command line into the command's own arguments and the settings by dotted options."""
    own: list[str] = []
    settings: dict[str, Any] = {}
    for arg in ordered(["sweep", *args])[1:]:
        option, equals, value = arg.partition("=")
        if not (option.startswith("--") and "." in option):
            own.append(arg)
        elif not equals:
            fail(f"{option} has no value", USAGE_STATUS)
        else:
            settings[option.removeprefix("--")] = parse_value(value)
    return own, settings


def main(args: list[str]) -> None:
    """Search for settings.

    Raises:
        UserError: If Optuna is missing, an option is invalid, or no trial is complete.
        SystemExit: 2 for arguments that cannot be parsed, 130 or 143 after a signal.
    """
    arguments = parse(args)
    if find_spec("optuna") is None:
        raise UserError(
            "sweep needs Optuna, which is not installed; uv sync --extra sweep, or pip install 'mm-lightning[sweep]'"
        )
    signals = StopSignals()
    signals.listen()
    try:
        from mm_lightning.sweep.plan import Plan  # noqa: PLC0415 # needs Optuna

        plan = Plan(arguments.options, arguments.overrides, arguments.name)
        from mm_lightning.sweep.search import search  # noqa: PLC0415 # imports torch, which takes seconds

        search(plan, signals, _tell)
    except Stopped as stop:
        again = shlex.join(["python", "-m", "mm_lightning", "sweep", *args])
        _tell(f"{stop}; finished trials are kept, go on with: {again}")
        sys.exit(128 + stop.signum)
    finally:
        signals.restore()


def _tell(line: str) -> None:
    sys.stderr.write(f"{hide_passwords(line)}\n")
