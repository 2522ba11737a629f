"""A study: the trials of a plan, kept in a place that outlives its processes and that all workers share.

Optuna stores the trials and proposes new ones; the store adds which worker trains which trial. The next worker finds
abandoned trials and repeats them. Workers take trials one at a time and together train the requested number. A proposal
depends only on the seed and the earlier trials.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from mm_lightning import UserError
from mm_lightning.sweep.plan import Plan
from mm_lightning.sweep.space import grid_points
from mm_lightning.sweep.storage.store import Store

# Names of attributes in study files: a new name loses the value in old files.
_PLAN_KEY = "plan"  # of the study: the plan's identity
_INTERRUPTED_KEY = "cut_short"  # of the study: numbers of the trials that a killed or stopped worker left
_ERROR_KEY = "error"  # of a failed trial: the reason
_TOP_FRACTION = 0.25  # of the trials, for importances; a tenth, Optuna's default, is two of twenty


class Outcome(NamedTuple):
    """The end of a trial.

    Args:
        state: Complete, pruned or failed.
        loss: Lowest val/loss of a complete trial.
        error: Reason of a failure.
    """

    state: TrialState
    loss: float | None = None
    error: str = ""


class Study:
    """The trials of a plan.

    Args:
        plan: The search.
        folder: Folder of the results.
        store: The place that keeps the study.
        max_steps: Optimiser steps of a trial; -1 if epochs limit it.
        tell: Function that shows the user a line about a trial of an earlier worker.

    Raises:
        UserError: If the store or the folder holds another study.
    """

    def __init__(self, plan: Plan, folder: Path, store: Store, max_steps: int, tell: Callable[[str], None]) -> None:
        optuna.logging.set_verbosity(logging.ERROR)  # a warning is a page of SQL when a connection is lost
        self.plan = plan
        self.folder = folder
        self.folder_lock = store.folder_lock
        self._store = store
        self._tell = tell
        with store.lock:
            self._study = optuna.create_study(
                study_name=plan.name,
                storage=store.storage,
                pruner=_pruner(plan.options.pruner, max_steps),
                load_if_exists=True,
            )
            self._check_identity()
            store.bind(self._study)

    def _check_identity(self) -> None:
        now = self.plan.identity
        known = self._study.user_attrs.get(_PLAN_KEY)
        if known is None:
            self._study.set_user_attr(_PLAN_KEY, now)
            return
        for name, value in now.items():
            for key in known[name] | value:
                old, new = known[name].get(key), value.get(key)
                if old != new:
                    raise UserError(
                        f"the study in {self._store.place} began with {name} {key}: {old}, now it is {new}, and its "
                        f"trials could not be compared; give the new search a --name of its own, or "
                        f"{self._store.removal}"
                    )

    @property
    def trials(self) -> list[FrozenTrial]:
        """Started trials, without interrupted and re-queued ones."""
        interrupted = self._interrupted
        trials = self._study.get_trials(deepcopy=False)
        return [t for t in trials if t.state != TrialState.WAITING and t.number not in interrupted]

    @property
    def _interrupted(self) -> list[int]:
        return list(self._study.user_attrs.get(_INTERRUPTED_KEY, []))

    @property
    def finished(self) -> list[FrozenTrial]:
        """Complete, pruned and failed trials."""
        return [trial for trial in self.trials if trial.state.is_finished()]

    @property
    def ranking(self) -> list[FrozenTrial]:
        """Complete trials, sorted by val/loss, the best first."""
        complete = [trial for trial in self.trials if trial.state == TrialState.COMPLETE]
        return sorted(complete, key=lambda trial: (trial.value, trial.number))

    def next_trial(self) -> optuna.Trial | None:
        """Start a trial, whose parameters are set; None where all trials of the plan are started."""
        with self._store.lock:
            self._give_back_abandoned()
            stored = self._study.get_trials(deepcopy=False)
            started = self.trials
            if len(started) >= self.plan.num_trials:
                return None
            has_queue = any(trial.state == TrialState.WAITING for trial in stored)
            if self.plan.options.sampler == "grid" and not has_queue:
                self._enqueue_grid_point(started)
            self._study.sampler = optuna.samplers.TPESampler(seed=self.plan.options.seed + len(stored))
            trial = self._study.ask(fixed_distributions=dict(self.plan.space))
            self._store.claim(trial.number)
            return trial

    def _enqueue_grid_point(self, started: list[FrozenTrial]) -> None:
        tried = [trial.params for trial in started]
        points = grid_points(self.plan.space, self.plan.options.seed)
        self._study.enqueue_trial(next(point for point in points if point not in tried))

    def report(self, trial: optuna.Trial, step: int, loss: float) -> None:
        """Record val/loss at an optimiser step.

        Raises:
            optuna.TrialPruned: If the pruner ends the trial.
            UpdateFinishedTrialError: If another worker has taken the trial over.
        """
        trial.report(loss, step)
        if trial.should_prune():
            raise optuna.TrialPruned

    def finish(self, trial: optuna.Trial, outcome: Outcome) -> FrozenTrial:
        """Record the end of a trial.

        Raises:
            UpdateFinishedTrialError: If another worker has taken the trial over.
        """
        with self._store.lock:
            if trial.number not in self._running:
                raise UpdateFinishedTrialError
            if outcome.error:
                trial.set_user_attr(_ERROR_KEY, " ".join(outcome.error.split()))
            result = self._study.tell(trial, outcome.loss, outcome.state)
            self._store.release(trial.number)
        return result

    def give_back(self, trial: optuna.Trial | FrozenTrial) -> None:
        """Record that a trial was interrupted; its parameters are tried next, unless another worker does so."""
        with self._store.lock:
            self._store.release(trial.number)
            if trial.number not in self._running:
                return
            self._study.set_user_attr(_INTERRUPTED_KEY, [*self._interrupted, trial.number])
            self._study.tell(trial.number, state=TrialState.FAIL)
            if trial.params.keys() == self.plan.space.keys():
                self._study.enqueue_trial(trial.params)

    def _give_back_abandoned(self) -> None:
        """Give back the running trials that no process trains."""
        running = self._running
        for number in self._store.abandoned(list(running)):
            self.give_back(running[number])
            self._tell(f"trial {number} was cut short: {self._store.abandonment}; its parameters are tried again")

    @property
    def _running(self) -> dict[int, FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        return {trial.number: trial for trial in trials}

    def heartbeats(self) -> dict[int, datetime | None]:
        """Last sign of life of the worker of each running trial; empty where ended processes are known at once."""
        return self._store.heartbeats()

    def importances(self) -> dict[str, float]:
        """Importance of each parameter for reaching the best quarter of the complete trials, the largest first.

        Shares that sum to 1, by PED-ANOVA (Watanabe et al. 2023); empty where a quarter is less than one trial.
        """
        losses = [trial.value for trial in self.ranking]
        if len(losses) < 1 / _TOP_FRACTION or losses[0] == losses[-1]:
            return {}
        return get_param_importances(self._study, evaluator=PedAnovaImportanceEvaluator(target_quantile=_TOP_FRACTION))


def error_of(trial: FrozenTrial) -> str | None:
    """Reason why a trial failed; None if it did not."""
    reason: str | None = trial.user_attrs.get(_ERROR_KEY)
    return reason


def _pruner(name: str, max_steps: int) -> optuna.pruners.BasePruner:
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(0, max_steps // 3))
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=max_steps // 9, max_resource=max_steps, reduction_factor=3)
    return optuna.pruners.NopPruner()
