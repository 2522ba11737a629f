"""A study: trials in a file that outlives its processes, shared by all workers that are given the same sweep.

Optuna knows what was tried and proposes what to try; this adds who is at work. A worker holds a lock for each trial
it trains, which the system releases however the worker ends, so that the next one to look for work finds what a
killed one left behind. Work is handed out to one worker at a time, so that all of them together do the trials asked
for, and a proposal hangs on nothing but the seed and the trials before it.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from mm_lightning import UserError
from mm_lightning.sweep.plan import Plan
from mm_lightning.sweep.space import Choice, Dimension, grid_points
from mm_lightning.sweep.storage import PATIENCE, open_storage

_PLAN = "plan"  # attribute of the study: what its trials share
_CUT_SHORT = "cut_short"  # attribute of the study: numbers of the trials that a killed or stopped worker left
_ERROR = "error"  # attribute of a trial that failed, and why
_TOP = 0.25  # share of trials that importances are for; a tenth, Optuna's default, is two of twenty


class Study:
    """The trials of a plan.

    Args:
        plan: What is searched, and how.
        folder: Where the study is kept; made if it is not there.
        max_steps: Optimiser steps of a trial; -1 if epochs limit it.
        tell: Called with a line about what befell an earlier worker.

    Raises:
        UserError: If the folder holds another study, or cannot be used.
    """

    def __init__(self, plan: Plan, folder: Path, max_steps: int, tell: Callable[[str], None]) -> None:
        optuna.logging.set_verbosity(logging.WARNING)
        self.plan = plan
        self.folder = folder
        self._tell = tell
        self._running = folder / "running"
        self._held: dict[int, FileLock] = {}
        try:
            self._running.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"cannot make the study's folder {folder} ({error.strerror})") from None
        self.lock = FileLock(folder / ".lock", timeout=PATIENCE)
        with self.lock:
            storage = open_storage(folder, plan.options.storage)
            self._study = optuna.create_study(
                study_name=plan.name,
                storage=storage,
                pruner=_pruner(plan.options.pruner, max_steps),
                load_if_exists=True,
            )
            self._check_identity()

    def _check_identity(self) -> None:
        now = self.plan.identity
        known = self._study.user_attrs.get(_PLAN)
        if known is None:
            self._study.set_user_attr(_PLAN, now)
            return
        for name, value in now.items():
            for key in known[name] | value:
                old, new = known[name].get(key), value.get(key)
                if old != new:
                    raise UserError(
                        f"the study in {self.folder} began with {name} {key}: {old}, now it is {new}, and its trials "
                        "could not be compared; give the new search a --name of its own, or remove the folder"
                    )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All that were begun and neither cut short nor yet to be repeated."""
        cut_short = self._cut_short
        trials = self._study.get_trials(deepcopy=False)
        return [t for t in trials if t.state != TrialState.WAITING and t.number not in cut_short]

    @property
    def _cut_short(self) -> list[int]:
        return list(self._study.user_attrs.get(_CUT_SHORT, []))

    @property
    def finished(self) -> list[FrozenTrial]:
        """Trials that are over: complete, pruned or failed."""
        return [trial for trial in self.trials if trial.state.is_finished()]

    @property
    def complete(self) -> list[FrozenTrial]:
        """Complete trials, the best first."""
        done = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return sorted(done, key=lambda trial: (trial.value, trial.number))

    def next_trial(self) -> optuna.Trial | None:
        """A trial to train, with all of its parameters; None where the others have begun all there are."""
        with self.lock:
            self._give_back_abandoned()
            every = self._study.get_trials(deepcopy=False)
            begun = self.trials
            if len(begun) >= self.plan.num_trials:
                return None
            waits = any(trial.state == TrialState.WAITING for trial in every)
            if self.plan.options.sampler == "grid" and not waits:
                self._enqueue_grid_point(begun)
            self._study.sampler = optuna.samplers.TPESampler(seed=self.plan.options.seed + len(every))
            trial = self._study.ask()
            self._held[trial.number] = FileLock(self._lock_file(trial.number), timeout=0)
            self._held[trial.number].acquire()
            for key, dimension in self.plan.space.items():
                _suggest(trial, key, dimension)
            return trial

    def _enqueue_grid_point(self, begun: list[FrozenTrial]) -> None:
        taken = [trial.params for trial in begun]
        points = grid_points(self.plan.space, self.plan.options.seed)
        self._study.enqueue_trial(next(point for point in points if point not in taken))

    def look(self, trial: optuna.Trial, step: int, loss: float) -> None:
        """Record val/loss at an optimiser step.

        Raises:
            optuna.TrialPruned: If the trial promises too little to go on.
        """
        trial.report(loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    def finish(self, trial: optuna.Trial, outcome: float | Exception) -> FrozenTrial:
        """Record how a trial ended.

        Args:
            trial: The trial.
            outcome: Its val/loss, or what ended it before it had one.
        """
        with self.lock:
            if isinstance(outcome, float):
                result = self._study.tell(trial, outcome)
            elif isinstance(outcome, optuna.TrialPruned):
                result = self._study.tell(trial, state=TrialState.PRUNED)
            else:
                trial.set_user_attr(_ERROR, " ".join(f"{outcome or type(outcome).__name__}".split()))
                result = self._study.tell(trial, state=TrialState.FAIL)
            self._release(trial.number)
        return result

    def give_back(self, trial: optuna.Trial | FrozenTrial) -> None:
        """Leave a trial that was cut short; its parameters are the next to be tried."""
        with self.lock:
            self._study.set_user_attr(_CUT_SHORT, [*self._cut_short, trial.number])
            self._study.tell(trial.number, state=TrialState.FAIL)
            if trial.params.keys() == self.plan.space.keys():
                self._study.enqueue_trial(trial.params)
            self._release(trial.number)

    def _give_back_abandoned(self) -> None:
        """Give back the trials whose workers are gone."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            lock = FileLock(self._lock_file(trial.number), timeout=0)
            with suppress(Timeout), lock:
                self.give_back(trial)
                self._tell(f"trial {trial.number} was cut short when its process ended; its parameters are tried again")

    def _release(self, number: int) -> None:
        if lock := self._held.pop(number, None):
            lock.release()
        self._lock_file(number).unlink(missing_ok=True)

    def _lock_file(self, number: int) -> Path:
        return self._running / f"{number}.lock"

    def importances(self) -> dict[str, float]:
        """Share of each parameter in what told the best quarter of the complete trials from the rest, largest first.

        By PED-ANOVA (Watanabe et al. 2023); empty where there are too few trials for a quarter.
        """
        losses = [trial.value for trial in self.complete]
        if len(losses) < 1 / _TOP or losses[0] == losses[-1]:
            return {}
        return get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(target_quantile=_TOP))


def error_of(trial: FrozenTrial) -> str | None:
    """Why a trial failed, if it did."""
    reason: str | None = trial.user_attrs.get(_ERROR)
    return reason


def _pruner(name: str, max_steps: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(0, max_steps // 3))
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max_steps // 9, max_resource=max_steps, reduction_factor=3)
    return optuna.pruners.NopPruner()


def _suggest(trial: optuna.Trial, key: str, dimension: Dimension) -> Any:
    if isinstance(dimension, Choice):
        return trial.suggest_categorical(key, dimension.options)
    if dimension.whole:
        step = 1 if dimension.step is None else int(dimension.step)
        return trial.suggest_int(key, int(dimension.low), int(dimension.high), step=step, log=dimension.log)
    return trial.suggest_float(key, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
