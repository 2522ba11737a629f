"""The command line as a guest in another program's process: quiet, with exceptions for exits, and without traces."""

import json
import os
import warnings
from argparse import ArgumentError
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields
from io import StringIO
from pathlib import Path
from signal import SIGINT
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.seed import isolate_rng
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.cli.application import Application
from mm_lightning.cli.devices import on_one_device, with_accelerator
from mm_lightning.commands.parts.errors import refuse_out_of_memory
from mm_lightning.commands.parts.library_warnings import quiet
from mm_lightning.commands.parts.one_process import started_processes
from mm_lightning.commands.parts.parsing.nulls import refuse_nulls
from mm_lightning.commands.parts.parsing.parser import OneLineParser
from mm_lightning.commands.parts.parsing.wording import did_you_mean
from mm_lightning.files import find_shipped, shipped_recipes
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.training.stop_signals import Stopped
from mm_lightning.training.trainer import Trainer

Settings = Mapping[str, object]  # by name on the command line
_NONE_REFUSED: Mapping[str, str] = {}


@contextmanager
def as_guest() -> Iterator[None]:
    """Do the work of a command without output, and leave random state, threads and variables as they were.

    Raises:
        UserError: For each error that a command would report in one line.
        KeyboardInterrupt: After Ctrl-C.
    """
    with _unchanged_process(), warnings.catch_warnings(), quiet(), redirect_stdout(StringIO()):
        try:
            with refuse_out_of_memory():
                yield
        except (ArgumentError, MisconfigurationException) as error:
            raise UserError(str(error)) from None
        except Stopped as stop:
            if stop.signum != SIGINT:
                raise
            raise KeyboardInterrupt(str(stop)) from None


@contextmanager
def _unchanged_process() -> Iterator[None]:
    num_threads, variables, random_state = torch.get_num_threads(), dict(os.environ), isolate_rng()
    random_state.__enter__()
    try:
        yield
    finally:
        random_state.__exit__(None, None, None)  # as a `with` block it would restore nothing after an error
        torch.set_num_threads(num_threads)
        for name in set(os.environ) - variables.keys():
            del os.environ[name]
        os.environ.update(variables)  # Lightning passes its seed on to other processes


class Guest(Application):
    """An application that works in this process alone, one of a program that may have started others for its own ends.

    Raises:
        UserError: If the settings or torchrun ask for several processes.
    """

    @override
    def settle_devices(self, settings: dict[str, Any]) -> dict[str, Any]:
        settings, without_effect = on_one_device(settings)
        if without_effect:
            raise UserError(f"Python works on one device, so {without_effect}; leave it out, or run the command")
        if self.subcommand == "fit" and (count := started_processes()[1]) > 1:
            raise UserError(f"fit in Python works in one process, and {count} were started; run the command fit")
        return with_accelerator(settings, self.model.network, self.datamodule)

    @override
    def fit(self, **arguments: Any) -> None:
        if self.seeds.count > 1:
            raise UserError(
                f"seeds is {self.seeds.count}, but fit returns one model; call it with each seed_everything"
            )
        super().fit(**arguments)


class Prepared(Guest):
    """An application that parses a command and builds its objects, and leaves the command's work to its caller."""

    arguments: dict[str, Any]

    def _keep(self, **arguments: Any) -> None:
        self.arguments = arguments

    predict = lr_find = _keep  # called by Lightning in place of the Trainer's methods


class _WithoutBar(Guest):
    """An application whose Trainer shows no progress bar; the run's configuration stays that of the command."""

    @override
    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        return super().instantiate_trainer(**kwargs, enable_progress_bar=False)


def fit_class(settings: Settings) -> type[Guest]:
    """The application for a fit: without a progress bar, unless the settings say whether there is one."""
    return Guest if "trainer.enable_progress_bar" in settings else _WithoutBar


def options(settings: Settings, refused: Mapping[str, str] = _NONE_REFUSED) -> list[str]:
    """Settings as options of the command line.

    Args:
        settings: The settings.
        refused: Settings, or sections of them, that the function does not take, and the remedy of each.

    Raises:
        UserError: If a setting is refused, or a value is of a kind that a file of settings cannot have.
    """
    for name, value in settings.items():
        if remedy := refused.get(name) or refused.get(name.partition(".")[0]):
            raise UserError(f"{name} is {_as_text(name, value)}, but {remedy}")
    return [f"--{name}={_as_text(name, value)}" for name, value in settings.items()]


def _as_text(name: str, value: object) -> str:
    def plain(inner: object) -> object:
        if isinstance(inner, Path):
            return str(inner)
        if isinstance(inner, np.generic):
            return inner.item()
        raise UserError(f"{name} has a {type(inner).__name__}; give text, numbers, lists and dictionaries")

    return str(value) if isinstance(value, str | Path) else json.dumps(value, default=plain)


def data_and_recipe(path: str | Path | None, recipe: str | Path) -> list[str]:
    """Options of the data and of a recipe, which is a file or the name of a shipped one.

    Raises:
        UserError: If there is no such recipe.
    """
    recipe = str(recipe)
    config = recipe if recipe.endswith((".yaml", ".yml")) else find_shipped(f"configs/{recipe}.yaml")
    if not Path(config).is_file():
        known = shipped_recipes()
        remedy = did_you_mean(recipe, known) or f"; give one of {', '.join(known)}"
        raise UserError(f"recipe {recipe}: no such recipe{remedy}")
    return [f"--config={config}", *([] if path is None else [f"--data.path={path}"])]


def sampling_options(values: dict[str, Any]) -> SamplingOptions:
    """Check sampling options as the command line does.

    Raises:
        UserError: If there is no such option or value, or the option is about columns that nobody sees.
    """
    known = [field.name for field in fields(SamplingOptions)]
    for name in values:
        if name not in known:
            raise UserError(f"sampling.{name}: no such option{did_you_mean(name, known)}")
    parser = OneLineParser()
    parser.add_class_arguments(SamplingOptions, "sampling")
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    try:
        config = parser.parse_object({"sampling": plain})
    except ArgumentError as error:
        raise UserError(str(error)) from None
    refuse_nulls(config.as_dict(), {"sampling": SamplingOptions})
    options: SamplingOptions = parser.instantiate_classes(config)["sampling"]
    if options.show_nll and options.output is None:
        raise UserError("sampling.show_nll is true, but sample returns items alone; give output, or use score")
    return options
