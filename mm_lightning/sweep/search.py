"""The search: trials until the study has as many as the plan asks for, then a summary of all."""

import logging
import os
import shlex
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import optuna
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from mm_lightning import UserError
from mm_lightning.files import write_atomically
from mm_lightning.sweep import results, trials
from mm_lightning.sweep.plan import Plan
from mm_lightning.sweep.storage.opening import open_store
from mm_lightning.sweep.storage.store import Store, reason_of
from mm_lightning.sweep.study import Outcome, Study
from mm_lightning.training.run_folders import LOGS
from mm_lightning.training.stop_signals import StopSignals

_SWEEPS = "lightning_sweeps"  # beside the folder of runs, so that TensorBoard shows runs without the trials
_POLL_SECONDS = 0.5


def search(plan: Plan, signals: StopSignals, tell: Callable[[str], None]) -> None:
    """Train the missing trials of a plan's study, and print the results of all.

    Args:
        plan: The search.
        signals: Stop signals, checked at the end of a step.
        tell: Function that shows the user a line about a trial.

    Raises:
        UserError: If the plan cannot be carried out, its study cannot be used, or no trial is complete.
        Stopped: After a stop signal.
    """
    folder = Path(_SWEEPS)
    try:
        with _quiet_libraries():
            trainer = trials.check(plan)
            signals.check()
            root = Path(os.path.relpath(trainer.default_root_dir))
            folder = root / _SWEEPS / plan.name
            if (former := root / LOGS / "sweeps" / plan.name).is_dir() and not folder.exists():
                raise UserError(f"the study is in {former}, its place in version 0.1; move that folder to {folder}")
            store = open_store(folder, plan.options.storage, plan.name)
            with closing(store), _readable_errors(store):
                study = Study(plan, folder, store, trainer.max_steps, tell)
                _run_trials(study, signals, tell)
                _print_results(study)
    except OSError as error:
        error.filename = error.filename or folder  # of Optuna's and TensorBoard's writers, which do not name their file
        raise


@contextmanager
def _readable_errors(store: Store) -> Iterator[None]:
    """Say in one line that the place of the study has failed."""
    try:
        yield
    except (OptunaError, SQLAlchemyError) as error:
        raise UserError(
            f"the study in {store.place} cannot be used ({reason_of(error)}); {store.remedy()}; finished trials are "
            "kept, and the same command goes on"
        ) from None


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Show warnings only: Lightning would print the notes of a fit for every trial.

    SQLAlchemy logs a traceback when a connection is lost, besides raising it.
    """
    limits = dict.fromkeys(("lightning.pytorch", "lightning.fabric", "lightning_utilities"), logging.WARNING)
    limits["sqlalchemy.pool"] = logging.CRITICAL
    loggers = [logging.getLogger(name) for name in limits]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(limits[logger.name])
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _run_trials(study: Study, signals: StopSignals, tell: Callable[[str], None]) -> None:
    while (trial := _next_trial(study, signals, tell)) is not None:
        try:
            outcome = _train(study, trial, signals)
            if outcome.state == TrialState.FAIL:
                _check_base(study.plan)
            finished = study.finish(trial, outcome)
        except UpdateFinishedTrialError:
            study.give_back(trial)
            tell(f"trial {trial.number} went to another worker after a long pause of this one; no result is kept here")
            continue
        except BaseException as error:  # a stop signal, a bug, or a fault of all trials, such as data that are gone
            error.add_note(f"trial {trial.number}: {trial.params}")
            study.give_back(trial)
            raise
        with study.folder_lock:
            results.write_rows(study)
            results.write_best(study)
        tell(results.describe(study, finished))


def _check_base(plan: Plan) -> None:
    """Build the base after a failed trial.

    Raises:
        UserError: If that fails too, as where the data are gone: every later trial would fail for the same reason.
    """
    try:
        trials.check_base(plan)
    except UserError as error:
        raise UserError(f"{error}; finished trials are kept, and the same command goes on") from None


def _next_trial(study: Study, signals: StopSignals, tell: Callable[[str], None]) -> optuna.Trial | None:
    """Start a trial; None where all are started, and each worker of a running one has given a sign of life."""
    trial = study.next_trial()
    silent = {} if trial else study.heartbeats()
    if silent:
        tell(f"all trials are started; waiting for signs of the workers of {_listed(silent)}")
    while trial is None and silent:
        time.sleep(_POLL_SECONDS)
        signals.check()
        silent = dict(silent.items() & study.heartbeats().items())
        trial = study.next_trial()
    return trial


def _listed(numbers: Collection[int]) -> str:
    return f"trial{'s' if len(numbers) > 1 else ''} {', '.join(map(str, sorted(numbers)))}"


def _train(study: Study, trial: optuna.Trial, signals: StopSignals) -> Outcome:
    """Train a trial; settings that diverge or need too much memory have an outcome too."""
    try:
        loss = trials.train(study.plan.settings(trial.params), partial(study.report, trial), signals)
    except optuna.TrialPruned:
        return Outcome(TrialState.PRUNED)
    except UpdateFinishedTrialError:
        raise
    except Exception as error:
        reason = str(error) or type(error).__name__
        if trials.is_refusal(error):
            return Outcome(TrialState.FAIL, error=reason)
        if trials.can_be_refusal(error):
            path = study.folder / f"trial_{trial.number}_error.txt"
            with write_atomically(path, f"sweep {study.plan.name}") as file:
                file.write(traceback.format_exc().encode())
            return Outcome(TrialState.FAIL, error=f"{reason} (traceback: {path})")
        raise
    return Outcome(TrialState.COMPLETE, loss)


def _print_results(study: Study) -> None:
    print(results.summary(study))
    with study.folder_lock:
        results.write_rows(study)  # again, for a worker that was killed before it wrote them
        best = results.write_best(study)
    running = [trial.number for trial in study.trials if not trial.state.is_finished()]
    if best is None and running:
        print(f"\nno trial is complete yet; other workers train {_listed(running)}")
        return
    if best is None:
        raise UserError(f"no trial was completed; the last is {results.describe(study, study.finished[-1])}")
    print(f"\nbest settings: {best}\ntrain them:    python -m mm_lightning fit --config {shlex.quote(str(best))}")
    print(f"in TensorBoard: tensorboard --logdir {shlex.quote(str(study.folder))}")
