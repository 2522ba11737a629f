"""`lr_find`: a learning-rate range test on a copy of the model.

Lightning's Tuner is not used: its suggestion lies where the test begins (see `evaluation/lr_range.py`), and it writes
a checkpoint and changes Trainer and model.
"""

import copy
import math
from contextlib import suppress
from pathlib import Path

import numpy as np
from lightning.pytorch.utilities.seed import isolate_rng
from lightning_utilities.core.rank_zero import rank_zero_info
from tqdm import tqdm

from mm_lightning import UserError
from mm_lightning.commands.fit import begin_from
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.ranges import Exponent, RangeTestSteps
from mm_lightning.evaluation.lr_range import DivergenceCheck, RangeTest, learning_rates
from mm_lightning.files import check_writable, write_together
from mm_lightning.training import checkpoint
from mm_lightning.training.callbacks.averaging import averaging_of
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer
from mm_lightning.training.trial_steps import TrialSteps

_MIN_POINTS = 10  # steps before the loss diverges
_DPI = 120
_HEADER = "lr,loss,smoothed_loss"  # of the table


def prepare(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str | None,
    start: Checkpoint | None,
) -> None:
    """Read the data and the weights to begin from, and set the number of threads.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        ckpt_path: Checkpoint of the run; None for a new run.
        start: Checkpoint that a new run begins from; its tokens can be others. None for new weights.

    Raises:
        UserError: If data or weights cannot be used.
    """
    if (averaging := averaging_of(trainer)) is not None:
        rank_zero_info(f"trainer.callbacks has {type(averaging).__name__}: a range test averages no weights")
    if ckpt_path is not None:
        checkpoint.load_weights(model, Path(ckpt_path))
    datamodule.setup("fit")
    if start is not None:
        begin_from(model, start)
    trainer.choose_threads(model, datamodule.targets_per_step)


def run_range_test(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    exponents: tuple[float, float],
    num_steps: int,
    shows_bar: bool = True,
) -> RangeTest:
    """Carry out optimiser steps on a copy of the model, each at a higher learning rate, until the loss diverges.

    Model, datamodule and random state stay as they are.

    Args:
        trainer: The Trainer, with one device.
        model: The model.
        datamodule: The data.
        exponents: First and last learning rate, as powers of 10.
        num_steps: Optimiser steps.
        shows_bar: Whether a bar on stderr counts the steps.

    Raises:
        UserError: If there is nothing to test, or the loss diverges at once.
    """
    _check(trainer, model, exponents)
    data = copy.copy(datamodule)  # with its own position
    data.trainer = trainer
    trial = TrialSteps(trainer, model, data.train_dataloader())
    rates = learning_rates(exponents, num_steps)
    losses: list[float] = []
    divergence = DivergenceCheck()
    with isolate_rng(), tqdm(rates, "range test", unit="step", disable=not shows_bar) as progress:
        for rate in progress:
            trial.set_learning_rate(rate)
            loss = trial.step()
            if not math.isfinite(loss):
                break
            losses.append(loss)
            if divergence.is_divergent(loss):
                break
    if len(losses) < _MIN_POINTS:
        raise UserError(f"the loss grew out of bounds within {len(losses)} steps; lower --min_exponent")
    if len(losses) < num_steps:
        rank_zero_info(f"the loss diverged: the test ended at learning rate {rates[len(losses) - 1]:.2g}")
    return RangeTest(np.array(rates[: len(losses)]), np.array(losses))


def _check(trainer: Trainer, model: LanguageModel, exponents: tuple[float, float]) -> None:
    low, high = exponents
    if not model.learns_by_gradient:
        raise UserError(f"{type(model.network).__name__} does not learn by gradient and has no learning rate to find")
    if low >= high:
        raise UserError(f"min_exponent is {low:g} and max_exponent is {high:g}; the first must be lower")
    if trainer.fast_dev_run:  # type: ignore[attr-defined] # set by a connector
        raise UserError("trainer.fast_dev_run is set, which a range test cannot heed; leave it out")


def fit_option(model: LanguageModel, rate: float) -> str:
    """The option of `fit` that sets this learning rate."""
    schedule = model.hparams["lr_scheduler"]
    if schedule and "max_lr" in schedule.get("init_args", {}):
        name = schedule["class_path"].rpartition(".")[2]
        rank_zero_info(f"{name} overrules the optimiser's lr, so the rate goes into its max_lr")
        return f"--model.lr_scheduler.init_args.max_lr {rate:.2g}"
    return f"--model.optimizer.init_args.lr {rate:.2g}"


def _check_table(path: Path) -> None:
    """Refuse to replace a file that is no table of a range test, such as the training items.

    Raises:
        UserError: If there is such a file.
    """
    with suppress(FileNotFoundError), path.open("rb") as file:
        if file.read(len(_HEADER)) != _HEADER.encode():
            raise UserError(f"output: {path} exists and is no table of lr_find; move it, or give another name")


def _write(result: RangeTest, picture: Path, table: Path) -> None:
    """Write the curve as a picture and as a table.

    Raises:
        UserError: If there is no suggestion, or a file cannot be written.
    """
    figure = result.plot()
    columns = np.stack([result.rates, result.losses, result.smoothed], 1)
    with write_together([table, picture], "output") as (table_file, picture_file):
        np.savetxt(table_file, columns, "%.6g", ",", newline="\r\n", header=_HEADER, comments="")
        figure.savefig(picture_file, format="png", dpi=_DPI)


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str | None = None,
    start: Checkpoint | None = None,
    min_exponent: Exponent = -3,
    max_exponent: Exponent = 0,
    num_steps: RangeTestSteps = 1000,
    output: Path = Path("lr_find.png"),
) -> None:
    """Run a learning-rate range test.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        ckpt_path: Start from the weights of this checkpoint; None for those of `start`.
        start: Start from the weights that a new run takes from this checkpoint; None for new weights.
        min_exponent: log10 of the learning rate of the first step.
        max_exponent: log10 of the learning rate of the last step; the test ends earlier if the loss diverges.
        num_steps: Number of optimiser steps. More steps give a clearer valley.
        output: Picture to write, a .png file. The table goes beside it, into a .csv file of the same name.

    Raises:
        UserError: If there is nothing to find, or the files cannot be written.
    """
    check_writable(output, "output", ".png")
    table = output.with_suffix(".csv")
    check_writable(table, "output", ".csv")
    _check_table(table)
    prepare(trainer, model, datamodule, ckpt_path, start)
    shows_bar = trainer.progress_bar_callback is not None
    result = run_range_test(trainer, model, datamodule, (min_exponent, max_exponent), num_steps, shows_bar)
    _write(result, output, table)
    print(f"suggested learning rate: {result.suggestion:.2g}")
    print(f"use it with fit:  {fit_option(model, result.suggestion)}")
    print(f"picture: {output}, numbers: {table}")
    if result.is_still_falling:
        rank_zero_info(f"the loss still fell at {result.rates[-1]:.2g}; a higher --max_exponent may show more")
