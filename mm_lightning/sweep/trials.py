"""A trial: a short fit without a run folder; and the check of a plan before its first trial."""

import math
from argparse import ArgumentError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, Checkpoint, DeviceStatsMonitor, LearningRateMonitor
from lightning.pytorch.utilities.memory import is_oom_error
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.cli import application
from mm_lightning.cli.application import Application
from mm_lightning.cli.options.arguments import refuse_derived
from mm_lightning.commands import fit
from mm_lightning.commands.parts.one_process import tell_alone
from mm_lightning.sweep.plan import Plan
from mm_lightning.sweep.settings import Settings
from mm_lightning.sweep.space import extremes
from mm_lightning.training.callbacks import ValidationMilestones
from mm_lightning.training.stop_signals import StopSignals
from mm_lightning.training.trainer import Trainer

_QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}  # settings of trainer
_NUM_THREADS = torch.get_num_threads()  # a small trial sets fewer, and the next trial may be large


class _TrialCallback(Callback):
    """Reports of val/loss during a fit, and its end after a stop signal.

    Args:
        report: Function of optimiser step and val/loss, called after each validation; can raise to end the fit.
        signals: Stop signals.
    """

    def __init__(self, report: Callable[[int, float], None], signals: StopSignals) -> None:
        self.losses: list[float] = []
        self._report = report
        self._signals = signals

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._signals.listen()  # again: Lightning has set handlers of its own

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._signals.check()

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        loss = float(trainer.callback_metrics["val/loss"])
        if not math.isfinite(loss):
            raise UserError(f"val/loss became {loss} by step {trainer.global_step}")
        self.losses.append(loss)
        self._report(trainer.global_step, loss)


def build(settings: Settings) -> Application:
    """Build model, data and Trainer of a trial, with the checks of a `fit`.

    Raises:
        ArgumentError: If a setting cannot be parsed.
        UserError: If a value is invalid.
    """
    built = application.build({**settings, "trainer": {**(settings.get("trainer") or {}), **_QUIET}})
    fit.prepare(built.trainer, built.model, built.datamodule)
    return built


def train(settings: Settings, report: Callable[[int, float], None], signals: StopSignals) -> float:
    """Fit, and return the lowest val/loss.

    Args:
        settings: Settings of the fit.
        report: Function of optimiser step and val/loss, called after each validation; can raise to end the fit.
        signals: Stop signals.

    Raises:
        UserError: If a value is invalid, or val/loss is missing or not finite.
        Exception: Any other error of the fit.
    """
    torch.set_num_threads(_NUM_THREADS)
    built = build(settings)
    trial_callback = _TrialCallback(report, signals)
    callbacks: list[Callback] = built.trainer.callbacks  # type: ignore[attr-defined] # set by a connector
    built.trainer.callbacks = [*filter(_can_change_loss, callbacks), trial_callback]  # type: ignore[attr-defined]
    built.trainer.fit(built.model, datamodule=built.datamodule)
    if not trial_callback.losses:
        raise UserError("there was no validation, so there is no val/loss")
    return min(trial_callback.losses)


def _can_change_loss(callback: Callback) -> bool:
    """Whether a callback can change the lowest val/loss; most callbacks of this application only write or print."""
    only_write = isinstance(callback, Checkpoint | LearningRateMonitor | DeviceStatsMonitor)
    is_own = type(callback).__module__.startswith("mm_lightning.training.callbacks.")
    return not only_write and (not is_own or isinstance(callback, ValidationMilestones))


def is_refusal(error: Exception) -> bool:
    """Whether settings caused the error for certain: they are invalid, diverge, or need too much memory."""
    refusals = (UserError, ArgumentError, MisconfigurationException, MemoryError)
    return isinstance(error, refusals) or is_oom_error(error)


def can_be_refusal(error: Exception) -> bool:
    """Whether settings can have caused the error: torch refuses values by `ValueError` and `RuntimeError`.

    An error of the accelerator is a bug, after which every later trial of the process would fail.
    """
    is_of_library = isinstance(error, ValueError | RuntimeError) and not isinstance(error, torch.AcceleratorError)
    return is_refusal(error) or is_of_library


@contextmanager
def _name_setting(setting: str, is_expected: Callable[[Exception], bool]) -> Iterator[None]:
    """Name the setting in an expected error; a bug keeps its traceback, with the setting as a note."""
    try:
        yield
    except Exception as error:
        if is_expected(error):
            raise UserError(f"{setting}: {error}") from None
        error.add_note(setting)
        raise


def check_base(plan: Plan) -> Trainer:
    """Build the base of a plan, with what is fixed, and return its Trainer.

    Raises:
        UserError: If it cannot be built; the message names the base.
    """
    with _name_setting(f"base {plan.options.base}{' with what is fixed' if plan.fixed else ''}", is_refusal):
        return build(plan.settings({})).trainer


def check(plan: Plan) -> Trainer:
    """Refuse a plan whose trials cannot start, before any file of it is written; say which settings have no effect.

    Returns:
        The Trainer of its base.

    Raises:
        UserError: If a key or a value is invalid; the message names the key.
    """
    refuse_derived(f"--{key}" for key in (*plan.fixed, *plan.space))
    trainer = check_base(plan)
    for key, distribution in plan.space.items():
        for value in extremes(distribution):
            with _name_setting(f"space {key} at {value}", can_be_refusal):  # the base without this value is valid
                build(plan.settings({key: value}))
    _check_pruner(plan, trainer)
    if plan.without_effect:
        tell_alone("sweep", plan.without_effect)
    return trainer


def _check_pruner(plan: Plan, trainer: Trainer) -> None:
    if plan.options.pruner == "hyperband" and trainer.max_steps < 9:
        raise UserError(f"pruner hyperband needs trainer.max_steps of 9 or more; it is {trainer.max_steps}")
    if plan.options.pruner == "median" and "data.batch_size" in plan.space and trainer.check_val_every_n_epoch:
        raise UserError(
            "pruner median compares trials at the same step, but with data.batch_size in space their epochs, after "
            "which they are validated, end at others; fix trainer.check_val_every_n_epoch: null and "
            "trainer.val_check_interval to a number of steps"
        )
