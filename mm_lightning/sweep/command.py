"""The sweep command: trials until there are as many as asked for, then what was found."""

import logging
import os
import shlex
import sys
from argparse import ArgumentError
from dataclasses import fields
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from mm_lightning import UserError
from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.commands.errors import USAGE_STATUS, fail
from mm_lightning.files import find_shipped
from mm_lightning.sweep.plan import Config, Plan, SweepOptions, parse_value
from mm_lightning.sweep.signals import Halted, Signals
from mm_lightning.training.run_folders import LOGS

_EPILOG = (
    "Dotted options are those of fit, as in --data.path FILE: every trial has them. "
    "The same command goes on with a sweep that was stopped, and may be started several times side by side."
)


def parser() -> ArgumentParser:
    """The command's own options."""
    result = ArgumentParser(
        prog="mm_lightning sweep", description=COMMANDS["sweep"].summary, epilog=_EPILOG, exit_on_error=False
    )
    result.add_argument("-c", "--config", action="config", help="File with the options below.")
    result.add_class_arguments(SweepOptions)
    return result


def plan(args: list[str]) -> Plan:
    """What the arguments ask for.

    Raises:
        UserError: If it makes no sense.
        SystemExit: If an option is not understood.
    """
    own, overrides = _divide(args)
    if not any(arg.startswith(("-c", "--config", "--base", "-h", "--help")) for arg in own):
        fail("sweep needs --config, for example --config configs/sweeps/mlp.yaml", USAGE_STATUS)
    try:
        config = parser().parse_args([find_shipped(arg) for arg in own])
    except ArgumentError as error:
        fail(str(error), USAGE_STATUS)
    options = SweepOptions(**{field.name: config[field.name] for field in fields(SweepOptions)})
    files = config["config"]
    return Plan(options, overrides, Path(files[-1]).stem if files else "sweep")


def _divide(args: list[str]) -> tuple[list[str], Config]:
    """The command's own arguments, and the settings that dotted options make."""
    own: list[str] = []
    settings: dict[str, Any] = {}
    rest = list(args)
    while rest:
        option, given, value = rest.pop(0).partition("=")
        if not (option.startswith("--") and "." in option):
            own.append(f"{option}{given}{value}")
        elif not given and (not rest or rest[0].startswith("--")):
            fail(f"{option} has no value", USAGE_STATUS)
        else:
            settings[option.removeprefix("--")] = parse_value(value if given else rest.pop(0))
    return own, settings


def main(args: list[str]) -> None:
    """Search.

    Raises:
        UserError: If the search makes no sense, or no trial had a loss.
        SystemExit: If an option is not understood, or a signal stopped the search.
    """
    wanted = plan(args)
    if find_spec("optuna") is None:
        raise UserError(
            "sweep needs Optuna, which is not installed; uv sync --extra sweep, or pip install 'mm-lightning[sweep]'"
        )
    signals = Signals()
    signals.listen()
    from optuna.exceptions import OptunaError  # noqa: PLC0415 # may not be there

    try:
        _search(wanted, signals)
    except OptunaError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise UserError(f"the study's file cannot be used ({reason}); finished trials are kept") from None
    except Halted as halt:
        again = shlex.join(["python", "-m", "mm_lightning", "sweep", *args])
        _tell(f"{halt}; finished trials are kept, go on with: {again}")
        sys.exit(128 + halt.signum)


def _search(wanted: Plan, signals: Signals) -> None:
    """Do the trials that are left, then show what all of them found."""
    from mm_lightning.sweep import results, trials  # noqa: PLC0415 # takes seconds
    from mm_lightning.sweep.study import Study  # noqa: PLC0415 # as above

    for name in ("lightning.pytorch", "lightning.fabric", "lightning_utilities"):
        logging.getLogger(name).setLevel(logging.WARNING)  # what a fit says once, a sweep would say for every trial
    trainer = trials.check(wanted)
    signals.check()
    folder = Path(os.path.relpath(trainer.default_root_dir)) / LOGS / "sweeps" / wanted.name
    study = Study(wanted, folder, trainer.max_steps, _tell)
    while (trial := study.next_trial()) is not None:
        outcome: float | Exception
        try:
            outcome = trials.train(wanted.config(trial.params), partial(study.look, trial), signals)
        except Halted:
            study.give_back(trial)
            raise
        except Exception as error:  # a setting that diverges, or asks for too much, is a result
            outcome = error
        ended = study.finish(trial, outcome)
        with study.lock:
            results.write_rows(study)
            results.write_best(study)
        _tell(results.line(study, ended))
    print(results.summary(study))
    with study.lock:
        results.write_rows(study)  # of a worker that was killed before it could
        best = results.write_best(study)
    if best is None:
        raise UserError(f"no trial was completed; the last is {results.line(study, study.finished[-1])}")
    print(f"\nbest settings: {best}\ntrain them:    python -m mm_lightning fit --config {best}")
    print(f"in TensorBoard: tensorboard --logdir {study.folder}")


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")
