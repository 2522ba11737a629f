"""Runs of several seeds, one after the other: `fit --seeds 3`.

Each run is the one that `fit` trains with its `--seed_everything`: its folder, its config and its checkpoints are the
same, and `fit --ckpt_path last` resumes it. A sweep over seeds would keep no run folders, which `compare` needs.
"""

import math
import os
import shlex
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.training import checkpoint, run_folders
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.stop_signals import Stopped
from mm_lightning.training.trainer import Trainer

_NUM_SEEDS = 2**32


@dataclass(frozen=True)
class Seeds:
    """Seeds of runs that are trained one after the other.

    Args:
        first: Seed of the next run.
        count: Number of runs.
        models: Options of the other models, with their files: `last` and `best` would be those of the run before.
    """

    first: int
    count: int
    models: tuple[str, ...] = ()

    @property
    def rest(self) -> "Seeds | None":
        """The seeds after the first; None if there are none."""
        return replace(self, first=self.first + 1, count=self.count - 1) if self.count > 1 else None

    @property
    def options(self) -> list[str]:
        """Options of the command that trains these seeds."""
        return [f"--seed_everything={self.first}", f"--seeds={self.count}", *self.models]

    def check(self, trainer: Trainer, resumed: Checkpoint | None) -> None:
        """Refuse several runs that resume, that run on several devices, or whose seeds are too large.

        Raises:
            UserError: Names the setting.
        """
        if self.count > 1 and resumed is not None:
            raise UserError(
                f"--seeds {self.count} trains new runs, and --ckpt_path {resumed.path} resumes one; leave one out"
            )
        if self.first + self.count > _NUM_SEEDS:
            raise UserError(
                f"--seeds {self.count} from --seed_everything {self.first} leads beyond {_NUM_SEEDS - 1}, the largest "
                "seed; begin with a smaller one"
            )
        if self.count > 1 and trainer.world_size > 1:
            raise UserError(
                f"--seeds {self.count} trains on one device; set --trainer.devices 1, or train each --seed_everything "
                f"on its own (there are {trainer.world_size} devices)"
            )

    @contextmanager
    def telling_rest(self) -> Iterator[None]:
        """Say after a stop signal that has saved the first run which command trains the others."""
        try:
            yield
        except Stopped as stop:
            if stop.checkpoint is not None and self.rest is not None:
                self.rest.tell_command()
            raise

    def tell_command(self) -> None:
        """Say which command trains these seeds."""
        rank_zero_info(f"seeds not begun: {self.count}; train them: the same command with {shlex.join(self.options)}")


ONE_SEED = Seeds(first=0, count=1)


class Fitted(Protocol):
    """A finished `fit`."""

    trainer: Trainer
    datamodule: ItemsDataModule
    seeds: Seeds  # of which this run has the first


def train_each(fit: Callable[[list[str]], Fitted]) -> None:
    """Train a run of each seed, and print their spread.

    Args:
        fit: Trains a run, with more options on the command line.
    """
    done = fit([])
    runs = [done.trainer.run_folder]
    while (rest := done.seeds.rest) is not None:
        try:
            done = fit(rest.options)
        except Stopped as stop:
            if stop.checkpoint is None:  # no state is saved, so `telling_rest` has printed nothing
                rest.tell_command()
            raise
        runs.append(done.trainer.run_folder)
    _print_spread([run for run in runs if run is not None], done.datamodule.loss_note)


def best_loss(run: Path) -> float | None:
    """Lowest val/loss of a run; None if there is no best checkpoint."""
    best = run_folders.checkpoint_of(run, run_folders.BEST)
    if not best.is_file():
        return None
    return float(checkpoint.load(best)["callbacks"][checkpoint.BEST_CHECKPOINT]["best_model_score"])


def _print_spread(runs: list[Path], loss_note: str) -> None:
    """Print the spread of the lowest val/loss over several runs, and the command that compares them."""
    losses = [loss for run in runs if (loss := best_loss(run)) is not None and math.isfinite(loss)]
    if len(losses) > 1:
        mean, deviation = statistics.fmean(losses), statistics.stdev(losses)
        note = loss_note and f", {loss_note}"
        print(f"val/loss of {len(losses)} seeds{note}: mean {mean:.4f}, standard deviation {deviation:.4f}")
        best = run_folders.checkpoint_of(runs[0], run_folders.BEST)
        own = checkpoint.foreign_classes(checkpoint.load(best)["hyper_parameters"])
        words = [
            *(shlex.quote(os.path.relpath(run)) for run in runs),
            *(f"--model.{key} {name}" for key, name in own.items()),
        ]
        print(f"compare them:    python -m mm_lightning compare {' '.join(words)}")
