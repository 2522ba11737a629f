"""Counters of Lightning's loops: they count optimiser steps, even if one training_step carries out a block.

Every counter of Lightning that this application reads or writes, public or private, is touched in this file. Limits,
intervals, curves and checkpoints then mean the same for any number of steps per block.
"""

import math
from typing import Any, NamedTuple, cast

import lightning.pytorch as pl
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning.data.batches import GLOBAL_BATCH, examples_per_batch, same_place


def steps_until_next_event(trainer: pl.Trainer, most: int) -> int:
    """Number of steps until the next validation, checkpoint, epoch end or end of the run, at most `most`."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    done, step = progress.current.ready, trainer.global_step
    intervals = [most]
    for callback in trainer.callbacks:  # type: ignore[attr-defined] # set by a connector
        if isinstance(callback, ModelCheckpoint):
            intervals.append(callback._every_n_train_steps or most)
        else:
            intervals.append(getattr(callback, "every_n_train_steps", None) or most)
    ahead = [every - step % every for every in intervals]
    ahead.append(int(trainer.num_training_batches) - done)
    if trainer.max_steps > 0:
        ahead.append(trainer.max_steps - step)
    if (every := _validation_interval(trainer)) is not None:
        ahead.append(every - _batches_of_interval(trainer) % every)
    return min(ahead)


def _validation_interval(trainer: pl.Trainer) -> int | None:
    """Training batches between two validations; None for an interval in time."""
    return None if trainer.val_check_batch in (None, float("inf")) else int(cast(float, trainer.val_check_batch))


def _batches_of_interval(trainer: pl.Trainer) -> int:
    """Number of begun batches that intervals of validation count: of all epochs, or of the current one."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    return progress.total.ready if trainer.check_val_every_n_epoch is None else progress.current.ready


def is_validation_at_interval(trainer: pl.Trainer) -> bool:
    """Whether a validation after the current batch is at its interval, and not there because the run ends."""
    every = _validation_interval(trainer)
    return every is None or _batches_of_interval(trainer) % every == 0


def count_batches(trainer: pl.Trainer, num_steps: int) -> None:
    """Count a block as one batch per step; Lightning itself counts one batch for the whole block."""
    loop = trainer.fit_loop.epoch_loop
    for tracker in (loop.batch_progress.total, loop.batch_progress.current):
        for stage in ("ready", "started", "processed", "completed"):
            setattr(tracker, stage, getattr(tracker, stage) + num_steps - 1)
    loop.batch_progress.is_last_batch = loop.batch_progress.current.ready == trainer.num_training_batches
    loop._batches_that_stepped += num_steps - 1


def batch_index(trainer: pl.Trainer) -> int:
    """Index of the last counted batch in its epoch."""
    return trainer.fit_loop.epoch_loop.batch_progress.current.ready - 1


def count_steps(trainer: pl.Trainer, num_steps: int) -> None:
    """Add steps to `global_step`, which under manual optimisation counts calls of Lightning's optimiser wrapper."""
    progress = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    progress.total.ready += num_steps
    progress.total.completed += num_steps


class Done(NamedTuple):
    """What a run has done.

    Args:
        steps: Optimiser steps.
        epochs: Whole epochs.
        batches: Batches of the next epoch, of today's size.
    """

    steps: int = 0
    epochs: int = 0
    batches: int = 0

    @classmethod
    def at(cls, checkpoint: dict[str, Any]) -> "Done":
        """What a run has done at a checkpoint after `prepare_restart`."""
        batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["ready"]
        return cls(checkpoint["global_step"], checkpoint["epoch"], batches)

    @classmethod
    def by(cls, trainer: pl.Trainer) -> "Done":
        """What a Trainer has done between two steps."""
        loop = trainer.fit_loop
        batches = loop.epoch_loop.batch_progress.current.ready
        return cls(trainer.global_step, loop.epoch_progress.current.completed, batches)


def steps_of_run(trainer: pl.Trainer, num_batches: float, done: Done = Done()) -> float:  # noqa: B008 # immutable
    """Optimiser steps of the whole run; infinity for a run without an end.

    Args:
        trainer: The Trainer.
        num_batches: Training batches of an epoch from now on.
        done: What the run has done; a resumed run may have had batches of another size.
    """
    most = float("inf") if trainer.max_steps == -1 else trainer.max_steps
    if trainer.max_epochs in (None, -1):
        return most
    per_epoch = math.ceil(num_batches / trainer.accumulate_grad_batches)
    rest = per_epoch * (trainer.max_epochs - done.epochs) - done.batches // trainer.accumulate_grad_batches
    return min(most, done.steps + max(0, rest))


def steps_of_fit(trainer: pl.Trainer, done: Done = Done()) -> float:  # noqa: B008 # immutable
    """As `steps_of_run`, before the Trainer has made the loader of the batches."""
    data = trainer.datamodule  # type: ignore[attr-defined] # set by Trainer.fit
    return steps_of_run(trainer, limited_batches(trainer, data.batches_per_epoch(trainer.world_size)), done)


def steps_per_epoch(trainer: pl.Trainer) -> int:
    """Optimiser steps of each epoch, at least 1; a counted network has none."""
    return max(1, -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches))


def validate_after_epoch(trainer: pl.Trainer, is_due: bool) -> None:
    """Let Lightning validate at the end of the current epoch, or not."""
    trainer.check_val_every_n_epoch = 1 if is_due else 1 << 62


def limited_batches(trainer: pl.Trainer, num_batches: int) -> int:
    """Training batches of an epoch under `limit_train_batches`, a number of batches or a share of them.

    Lightning's `num_training_batches` needs the training loader, which on resume must not be made before the position
    in the data is restored.
    """
    limit = trainer.limit_train_batches
    return min(limit, num_batches) if isinstance(limit, int) else int(num_batches * limit)


def is_between_steps(trainer: pl.Trainer) -> bool:
    """Whether the batches so far fill whole optimiser steps, so that no gradient is lost where the run stops here."""
    batches = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    return trainer.is_last_batch or batches % trainer.accumulate_grad_batches == 0


def is_ending(trainer: pl.Trainer) -> bool:
    """Whether the run ends after the current batch, by `max_steps` or a callback that stops it."""
    return trainer.global_step == trainer.max_steps or (trainer.should_stop and trainer.fit_loop._can_stop_early)


def is_at_epoch_start(trainer: pl.Trainer) -> bool:
    """Whether no batch of the current epoch is done."""
    return trainer.fit_loop.epoch_loop.batch_progress.current.ready == 0


def settle_counters(checkpoint: dict[str, Any]) -> None:
    """Set a checkpoint's loop counters to the state between two steps, with nothing left to do for the first.

    Lightning saves its counters as they are in the hook that saves: before or after a validation, before or after the
    end of an epoch. On resume Lightning then repeats or skips one of the two (lightning 2.6). Settled counters depend
    only on the steps, the batches and the epochs that are done.
    """
    if "loops" not in checkpoint:
        return
    loops, step = checkpoint["loops"]["fit_loop"], checkpoint["global_step"]
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    begun, done = epochs["current"]["started"], batches["current"]["ready"]
    is_ended = batches["is_last_batch"] or (done == 0 and epochs["current"]["processed"] == begun)
    complete = begun if is_ended else begun - 1  # the run's last epoch may end early and go on when the run resumes
    done = 0 if is_ended else done
    begun = complete + (done > 0)
    checkpoint["epoch"] = complete
    for counts in epochs.values():
        counts.update(ready=begun, started=begun, processed=complete, completed=complete)
    batches["is_last_batch"] = False
    for counts, value in ((batches["total"], batches["total"]["ready"]), (batches["current"], done)):
        counts.update(dict.fromkeys(counts, value))
    loops["epoch_loop.state_dict"]["_batches_that_stepped"] = step
    _set_counts(loops["epoch_loop.val_loop.batch_progress"], 0)
    _set_counts(loops["epoch_loop.scheduler_progress"], 0)  # never read
    _set_counts(loops["epoch_loop.automatic_optimization.optim_progress"], 0)
    for total in (
        loops["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"],
        loops["epoch_loop.manual_optimization.optim_step_progress"]["total"],
    ):  # of both kinds of optimisation: a run may resume with another number of steps per block
        total.update(ready=step, completed=step)


def _set_counts(state: dict[str, Any], value: int) -> None:
    """Set every count in nested counters."""
    for key, inner in state.items():
        if isinstance(inner, dict):
            _set_counts(inner, value)
        else:
            state[key] = False if isinstance(inner, bool) else value


def _resize_batches(trainer: pl.Trainer, loops: dict[str, Any]) -> None:
    """Count the current epoch in batches of another size, if they have one since the checkpoint, and say so."""
    data, world_size = trainer.datamodule, trainer.world_size  # type: ignore[attr-defined] # set by Trainer.fit
    per_rank = examples_per_batch(data.num_examples, data.batch_size, world_size)
    old, new = loops["state_dict"]["combined_loader"][0].get(GLOBAL_BATCH), per_rank * world_size
    if old in (None, new):
        return
    counts = loops["epoch_loop.batch_progress"]["current"]
    most = limited_batches(trainer, data.batches_per_epoch(world_size))
    done = same_place(counts["ready"], old, new, most)
    counts.update(dict.fromkeys(counts, done - done % trainer.accumulate_grad_batches))
    shares = "" if world_size == 1 else f" ({per_rank} on each of {world_size} devices)"
    remedy = "" if old % world_size else f"; --data.batch_size {old // world_size} keeps {old}"
    rank_zero_info(f"a batch has {new} examples{shares}, and had {old} until this checkpoint{remedy}")


def prepare_restart(trainer: pl.Trainer, checkpoint: dict[str, Any]) -> None:
    """Make Lightning go on from settled counters with the next batch.

    Where Lightning restarts within an epoch, it completes the last batch first, and then neither validates nor ends the
    epoch. A run limited by `max_steps` restarts within an epoch even at the epoch's begin.
    """
    settle_counters(checkpoint)
    loops = checkpoint["loops"]["fit_loop"]
    _resize_batches(trainer, loops)
    batches = loops["epoch_loop.batch_progress"]
    if trainer.max_steps != -1 or batches["current"]["ready"] > 0:
        loops["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
        for counts in (batches["total"], batches["current"]):
            counts["completed"] -= 1
