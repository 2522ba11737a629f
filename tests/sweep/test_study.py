"""A study: proposals, records, pruning, and files of other plans and other versions."""

import re
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from sweep_cases import GRID, HIDDEN, RATE, SPACE, list_files
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mm_lightning import UserError
from mm_lightning.sweep import results
from mm_lightning.sweep.storage.opening import open_store
from mm_lightning.sweep.study import Outcome, Study


def start(plan, folder, max_steps=40):
    store = open_store(folder, plan.options.storage, plan.name)
    return Study(plan, folder, store, max_steps=max_steps, tell=pytest.fail)


def complete(study, trial, loss):
    study.finish(trial, Outcome(TrialState.COMPLETE, loss))


def test_a_study_goes_on_as_if_it_had_not_stopped(plan, tmp_path):
    """Catches a resumed study whose sampler begins its random numbers again, and trials done twice."""

    def work(name, trials):
        study = start(plan(trials=trials), tmp_path / name)
        while (trial := study.next_trial()) is not None:
            complete(study, trial, trial.params[HIDDEN] * trial.params[RATE])
        return [(trial.params, trial.value) for trial in study.finished]

    parts = [work("parts", trials) for trials in (2, 15, 15)]
    assert parts[1] == parts[2] == work("whole", 15)
    assert parts[0] == parts[2][:2]
    assert len({params[RATE] for params, _ in parts[2]}) == 15


OLD_SPACE = {
    HIDDEN: {"int": [4, 16], "log": True},
    "model.network.init_args.embed_dim": {"int": [2, 8], "step": 2},
    RATE: {"float": [0.001, 0.1], "log": True},
    "model.optimizer.init_args.weight_decay": {"float": [0, 0.3], "step": 0.1},
    "data.batch_size": {"choice": [4, 5]},
}


def test_a_study_of_version_0_1_goes_on(plan, tmp_path):
    """Catches parameters or attributes stored otherwise than in version 0.1, whose studies could not be continued."""
    shutil.copy(Path(__file__).with_name("old_study.journal"), tmp_path / "study.journal")
    study = start(plan(space=OLD_SPACE, storage="journal", name="half"), tmp_path)
    assert [trial.value for trial in study.finished] == [1.5665457407633463, 2.3780202229817706]
    proposals = []
    while (trial := study.next_trial()) is not None:
        proposals.append(list(trial.params.values()))
        complete(study, trial, 2.0)
    assert proposals == [  # of version 0.1
        [13, 2, pytest.approx(0.030851832395070163), 0.1, 5],
        [16, 6, pytest.approx(0.0036550607856719276), 0.0, 5],
    ]
    assert len({tuple(trial.distributions.items()) for trial in study.finished}) == 1


@pytest.mark.parametrize("sampler", ["tpe", "grid"])
def test_an_interrupted_trial_is_tried_again(plan, tmp_path, sampler):
    """Catches a point of the grid that is lost with its worker, and an interrupted trial that counts."""
    study = start(plan(space=GRID, sampler=sampler, trials=6), tmp_path / "study")
    interrupted = study.next_trial()
    study.give_back(interrupted)
    points = []
    while (trial := study.next_trial()) is not None:
        points.append(tuple(trial.params.values()))
        complete(study, trial, 1.0)
    assert len(points) == len(study.trials) == 6
    assert points[0] == tuple(interrupted.params.values())
    assert sampler == "tpe" or len(set(points)) == 6


def test_a_failure_is_recorded_in_one_line(plan, tmp_path):
    """Catches an error of several lines in the table of trials, and a failed trial that is ranked."""
    study = start(plan(), tmp_path / "study")
    finished = study.finish(study.next_trial(), Outcome(TrialState.FAIL, error="out of\n  memory"))
    assert finished.user_attrs["error"] == "out of memory"
    assert [trial.number for trial in study.finished] == [0]
    assert study.ranking == []


CHANGES = [
    ({"space": {**SPACE, HIDDEN: {"int": [4, 17]}}}, {}, f"began with space {HIDDEN}: {{'int': [4, 16]}}, now it is"),
    ({"fixed": {"data.batch_size": 6}}, {}, "began with fixed data.batch_size: None, now it is 6"),
    ({}, {"trainer.max_steps": 41}, "began with fixed trainer.max_steps: None, now it is 41"),
    ({"storage": "sqlite"}, {}, "storage is sqlite, but the study in"),
]


@pytest.mark.parametrize(("options", "overrides", "message"), CHANGES)
def test_a_study_of_another_plan_is_refused(plan, tmp_path, options, overrides, message):
    """Catches trials compared that had other data, steps or ranges."""
    folder = tmp_path / "study"
    start(plan(), folder)
    before = list_files(folder)
    with pytest.raises(UserError, match=re.escape(message)):
        start(plan(overrides, **options), folder)
    assert list_files(folder) == before


@pytest.mark.parametrize(("storage", "name"), [("sqlite", "study.db"), ("journal", "study.journal")])
def test_a_damaged_study_is_refused(plan, tmp_path, storage, name):
    """Catches a traceback, and a new study written over the remains of the old."""
    (tmp_path / name).write_text("no study\n" * 100)
    with pytest.raises(UserError, match=f"{name} cannot be read as a study .*; remove it"):
        start(plan(storage=storage), tmp_path)
    assert (tmp_path / name).read_text() == "no study\n" * 100


def last_steps(study, losses):
    """Last steps of trials, each with the same loss at every step."""
    for loss in losses:
        trial, outcome = study.next_trial(), Outcome(TrialState.COMPLETE, loss)
        try:
            for step in (10, 30, 60, 90):
                study.report(trial, step, loss)
        except optuna.TrialPruned:
            outcome = Outcome(TrialState.PRUNED)
        study.finish(trial, outcome)
    assert study.next_trial() is None
    return [trial.last_step for trial in study.finished]


@pytest.mark.parametrize(("pruner", "ends"), [("none", [90] * 9), ("median", [90] * 5 + [30] * 3 + [90])])
def test_trials_are_pruned_by_step(plan, tmp_path, pruner, ends):
    """Catches losses reported at other steps than optimiser steps, and a pruner that is never asked."""
    study = start(plan(trials=9, pruner=pruner), tmp_path / "study", max_steps=90)
    assert last_steps(study, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.5]) == ends
    assert study.ranking[0].number == 8


def test_hyperband_spares_the_best(plan, tmp_path):
    """Catches rungs that lie beyond the last step, where nothing is ever pruned."""
    study = start(plan(trials=30, pruner="hyperband"), tmp_path / "study", max_steps=90)
    ends = last_steps(study, [float(number * 7 % 30) for number in range(30)])
    assert study.ranking[0].value == 0
    assert {10, 30, 90} >= set(ends)
    assert 5 < ends.count(90) < 25


def test_the_best_loss_of_a_pruned_trial_is_its_lowest(tmp_path):
    """Catches Optuna's value of a pruned trial, which is its last loss, in a column of lowest ones."""
    trial = optuna.trial.create_trial(
        state=TrialState.PRUNED, value=1.9, intermediate_values={10: 2.0, 20: 1.5, 30: 1.9}
    )
    results._write_row(trial, tmp_path / "trial_0")
    events = EventAccumulator(str(tmp_path / "trial_0")).Reload()
    assert [event.value for event in events.Scalars("val/best_loss")] == [1.5]
