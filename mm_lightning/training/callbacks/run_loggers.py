"""Loggers that write beside the runs: their files go into the run's folder, and a resumed run keeps its curves."""

import csv
import math
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import lightning.pytorch as pl
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def event_writer(trainer: pl.Trainer) -> "SummaryWriter | None":
    """The writer of TensorBoard's event files; None without its logger, and in all processes but the first."""
    found = (logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger) and trainer.is_global_zero)
    return next((logger.experiment for logger in found), None)


def join_run(logger: Logger, run: Path, resumed_step: int | None) -> None:
    """Let a logger write into a run's folder, unless it has a version or a place of its own.

    Left alone, Lightning's loggers would make a folder of their own, which looks like one more run.

    Args:
        logger: A logger that has not written yet.
        run: The run's folder.
        resumed_step: The step of the checkpoint, for a run that goes on in its folder.
    """
    if not isinstance(logger, CSVLogger | TensorBoardLogger) or logger._version is not None:
        return
    if Path(logger.root_dir).absolute() != run.parent.absolute():
        return
    logger._version = run.name
    if isinstance(logger, TensorBoardLogger):
        # hides points of a killed run after its checkpoint; TensorBoard heeds such a mark from the second on
        logger._kwargs["purge_step"] = 0 if resumed_step is None else resumed_step + 1
    else:
        _begin(logger, run / "metrics.csv", resumed_step)


def _begin(logger: CSVLogger, path: Path, resumed_step: int | None) -> None:
    """Open the file of a CSVLogger, which deletes an earlier one, with the rows up to the resumed step."""
    rows = []
    if resumed_step is not None and path.is_file():
        with path.open(encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                with suppress(ValueError):  # a row that a crash has cut short
                    rows.append({key: float(value) for key, value in line.items() if value})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*exists and is not empty")
        writer = logger.experiment
    for row in rows:
        if row.get("step", math.inf) <= (resumed_step or 0):
            writer.log_metrics(row, int(row["step"]))
    logger.save()
