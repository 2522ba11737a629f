"""A learning-rate range test through Lightning's Tuner, which leaves no trace but what it found."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.fabric.plugins.io import CheckpointIO
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.tuner.tuning import Tuner
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.batches import Batch
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.evaluation.range_test import RangeTest, check_output
from mm_lightning.training import checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer

_FEWEST_STEPS = 100  # that show a valley through the noise of batches
_FEWEST_POINTS = 10  # of a curve, where the loss grew out of bounds early
_EXPONENTS = 30  # at most, either way: no network learns beyond
_DIVERGED = 4.0  # times the least running average of the loss, where a test ends


def run_range_test(
    trainer: pl.Trainer, model: LanguageModel, datamodule: ItemsDataModule, exponents: tuple[float, float], steps: int
) -> RangeTest:
    """Train for some steps, each with a higher learning rate, and put the weights back.

    The optimiser is the model's, its schedule is left out. There is no validation, logger or callback, and the weights
    are kept in memory and not in the folder of runs, where the Tuner puts them.

    Args:
        trainer: One device, one step at a time; of no use for anything else afterwards.
        model: The model.
        datamodule: The data.
        exponents: First and last learning rate, as powers of 10.
        steps: Optimiser steps.

    Raises:
        UserError: If there is nothing to test, or the loss grew out of bounds at once.
        SystemExit: 130 after SIGINT.
    """
    _check(trainer, model, exponents, steps)
    trainer.callbacks, trainer.loggers = [], []  # type: ignore[attr-defined] # set by connectors
    trainer.log_every_n_steps = steps + 1  # type: ignore[attr-defined] # a loss that is logged must be finite
    trainer.fit_loop.max_epochs = -1
    trainer.strategy.checkpoint_io = _Memory()
    datamodule.trainer = trainer
    with _recorded(model) as points:
        try:
            Tuner(trainer).lr_find(
                model,
                train_dataloaders=datamodule.train_dataloader(),
                min_lr=10 ** exponents[0],
                max_lr=10 ** exponents[1],
                num_training=steps,
                early_stop_threshold=_DIVERGED,
                update_attr=False,
            )
        except SystemExit:  # Lightning's end after SIGINT, with 1
            sys.exit(130)
    if len(points) < _FEWEST_POINTS:
        raise UserError(f"the loss grew out of bounds within {len(points)} steps; lower --min_exponent")
    rates, losses = np.array(list(points.values())).T
    return RangeTest(rates, losses)


def how_to_use(model: LanguageModel, rate: float) -> str:
    """The option that sets this learning rate."""
    schedule = model.hparams["lr_scheduler"]
    if schedule and "max_lr" in schedule.get("init_args", {}):
        name = schedule["class_path"].rpartition(".")[2]
        rank_zero_info(f"{name} overrules the optimiser's lr, so the rate goes into its max_lr")
        return f"--model.lr_scheduler.init_args.max_lr {rate:.2g}"
    return f"--model.optimizer.init_args.lr {rate:.2g}"


def _check(trainer: pl.Trainer, model: LanguageModel, exponents: tuple[float, float], steps: int) -> None:
    low, high = exponents
    if model.is_counted:
        raise UserError(f"{type(model.network).__name__} is fitted by counting, which has no learning rate to find")
    if low >= high:
        raise UserError(f"min_exponent is {low:g} and max_exponent is {high:g}; the first must be lower")
    if max(-low, high) > _EXPONENTS:
        raise UserError(f"min_exponent is {low:g} and max_exponent is {high:g}; go no further than {_EXPONENTS}")
    if steps < _FEWEST_STEPS:
        raise UserError(f"num_steps is {steps}; it must be at least {_FEWEST_STEPS}")
    if trainer.fast_dev_run:  # type: ignore[attr-defined] # set by a connector
        raise UserError("trainer.fast_dev_run is set, with which the test is left out; leave that out")


@contextmanager
def _recorded(model: LanguageModel) -> Iterator[dict[int, tuple[float, float]]]:
    """Learning rate and loss by step, as the model is trained without its schedule; its end where a loss is not finite.

    The Tuner keeps only a running average, and one that begins too low.
    """
    points: dict[int, tuple[float, float]] = {}
    take_step = model.training_step

    @wraps(take_step)
    def training_step(batch: Batch, batch_idx: int) -> Tensor | None:
        loss = take_step(batch, batch_idx)
        assert loss is not None
        trainer = model.trainer
        if loss.isfinite():
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            points.setdefault(
                trainer.global_step, (rate, float(loss.detach()))
            )  # some optimisers look at a batch repeatedly
        else:
            trainer.should_stop = True
        return loss

    model.training_step = training_step  # type: ignore[method-assign] # for the while
    schedule, model.optimization.lr_scheduler = model.optimization.lr_scheduler, None
    try:
        yield points
    finally:
        del model.training_step  # which lets the class's own appear again
        model.optimization.lr_scheduler = schedule


class _Memory(CheckpointIO):
    """Holds the one checkpoint of the test."""

    def __init__(self) -> None:
        self._checkpoint: dict[str, Any] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: _PATH, storage_options: Any | None = None) -> None:
        self._checkpoint = deepcopy(checkpoint)

    def load_checkpoint(
        self, path: _PATH, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return self._checkpoint

    def remove_checkpoint(self, path: _PATH) -> None:
        self._checkpoint = {}


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str | None = None,
    min_exponent: float = -3,
    max_exponent: float = 0,
    num_steps: int = 1000,
    output: Path = Path("lr_find.png"),
) -> None:
    """Suggest a learning rate by a range test: train for some steps at a rising rate and compare the losses.

    Plots loss against learning rate, writes the same numbers beside the picture, and prints a suggestion: the lowest
    rate at which the smoothed loss has almost stopped falling. The configured schedule is left out of the test.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        ckpt_path: Begin with the weights of this checkpoint: a file, or last or best for that of the newest run.
        min_exponent: The test begins with learning rate 10 to the power of this.
        max_exponent: The test ends with learning rate 10 to the power of this, or earlier where the loss diverges.
        num_steps: Optimiser steps, at least 100; the exponent rises evenly from step to step.
        output: Picture to write, a .png file; the numbers go into a .csv file of the same name.

    Raises:
        UserError: If there is nothing to find, or the files cannot be written.
    """
    check_output(output)
    trainer.require_one_device()
    trainer.blocks = replace(trainer.blocks, max_steps=1, compile=None)
    trainer.gradient_clip_val = trainer.clipping.limit
    if ckpt_path is not None:
        checkpoint.load_weights(model, Path(ckpt_path))
    datamodule.setup("fit")
    trainer.choose_threads(model, datamodule.targets_per_step)
    result = run_range_test(trainer, model, datamodule, (min_exponent, max_exponent), num_steps)
    rate = result.suggestion
    table = result.save(output)
    print(f"suggested learning rate: {rate:.2g}")
    print(f"use it with fit:  {how_to_use(model, rate)}")
    print(f"picture: {output}, numbers: {table}")
    if result.still_falling:
        rank_zero_info(f"the loss still fell at {result.rates[-1]:.2g}; a higher --max_exponent may show more")
