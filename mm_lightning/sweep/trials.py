"""A trial: a short fit that leaves no run folder behind."""

import math
from argparse import ArgumentError
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, Checkpoint

from mm_lightning import UserError
from mm_lightning.cli import application
from mm_lightning.cli.application import Application
from mm_lightning.cli.precedence import refuse_derived
from mm_lightning.commands import fit
from mm_lightning.sweep.plan import Config, Plan
from mm_lightning.sweep.signals import Signals
from mm_lightning.training.trainer import Trainer

_QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}  # of trainer
_THREADS = torch.get_num_threads()  # of a step; a small one takes fewer, and the next trial's may be large


class _Watch(Callback):
    """Looks at a fit from outside.

    Args:
        look: Called with optimiser step and val/loss after each validation; may raise to end the fit.
        signals: End it, too.
    """

    def __init__(self, look: Callable[[int, float], None], signals: Signals) -> None:
        self.losses: list[float] = []
        self._look = look
        self._signals = signals

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen again: Lightning has set handlers of its own."""
        self._signals.listen()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop, if that is asked for."""
        self._signals.check()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look at val/loss."""
        if trainer.sanity_checking:
            return
        loss = float(trainer.callback_metrics["val/loss"])
        if not math.isfinite(loss):
            raise UserError(f"val/loss became {loss} by step {trainer.global_step}")
        self.losses.append(loss)
        self._look(trainer.global_step, loss)


def build(config: Config) -> Application:
    """Build model, data and Trainer of a trial, checked as a `fit` is.

    Raises:
        UserError: If the configuration is refused.
    """
    quiet = {**config, "trainer": {**(config.get("trainer") or {}), **_QUIET}}
    try:
        built = application.build(quiet)
    except ArgumentError as error:
        raise UserError(str(error)) from None
    built.trainer.require_one_device()
    fit.prepare(built.trainer, built.model, built.datamodule)
    return built


def train(config: Config, look: Callable[[int, float], None], signals: Signals) -> float:
    """The lowest val/loss of a fit.

    Args:
        config: What to fit.
        look: Called with optimiser step and val/loss after each validation; may raise to end the fit.
        signals: End it, too.

    Raises:
        Exception: Whatever can go wrong in a fit.
    """
    torch.set_num_threads(_THREADS)
    built = build(config)
    watch = _Watch(look, signals)
    callbacks: list[Callback] = built.trainer.callbacks  # type: ignore[attr-defined] # set by a connector
    built.trainer.callbacks = [*filter(_trains, callbacks), watch]  # type: ignore[attr-defined]
    built.trainer.fit(built.model, datamodule=built.datamodule)
    if not watch.losses:
        raise UserError("there was no validation, so there is no val/loss")
    return min(watch.losses)


def _trains(callback: Callback) -> bool:
    """Whether a callback can matter to the weights; those of this application write or print."""
    return not (
        isinstance(callback, Checkpoint) or type(callback).__module__.startswith("mm_lightning.training.callbacks.")
    )


def check(plan: Plan) -> Trainer:
    """Refuse a plan whose trials could not begin, before anything of it is made.

    Returns:
        The Trainer of its base.

    Raises:
        UserError: If a key or a value is refused; the message names it.
    """
    refuse_derived(f"--{key}" for key in (*plan.fixed, *plan.space))
    try:
        trainer = build(plan.config({})).trainer
    except Exception as error:  # whatever a constructor says to its arguments
        raise UserError(f"base {plan.options.base}{' with what is fixed' if plan.fixed else ''}: {error}") from None
    for key, dimension in plan.space.items():
        for value in dimension.ends:
            try:
                build(plan.config({key: value}))
            except Exception as error:  # as above
                raise UserError(f"space {key} at {value}: {error}") from None
    if plan.options.pruner == "hyperband" and trainer.max_steps < 9:
        raise UserError(f"pruner hyperband needs trainer.max_steps of 9 or more; it is {trainer.max_steps}")
    if plan.options.pruner == "median" and "data.batch_size" in plan.space and trainer.check_val_every_n_epoch:
        raise UserError(
            "pruner median compares trials at the same step, but with data.batch_size in space their epochs, after "
            "which they are validated, end at others; fix trainer.check_val_every_n_epoch: null and "
            "trainer.val_check_interval to a number of steps"
        )
    return trainer
