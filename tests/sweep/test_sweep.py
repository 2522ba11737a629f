"""A search for settings: what it is told, what it tries, and that nothing it found is lost."""

import os
import re
import signal
import time
from pathlib import Path

import optuna
import pytest
import yaml
from run_command import ROOT, Command, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mm_lightning.sweep import command
from mm_lightning.sweep.plan import Plan, SweepOptions
from mm_lightning.sweep.space import Choice, Range, grid_points, grid_size, parse_space
from mm_lightning.sweep.study import Study

HIDDEN, RATE = "model.network.init_args.hidden_dim", "model.optimizer.init_args.lr"
BASE = {
    "model": {
        "network": {"class_path": "mm_lightning.networks.MLP", "init_args": {"block_size": 2, "embed_dim": 3}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
    },
    "data": {"batch_size": 5, "path": "words.txt"},
    "trainer": {"max_steps": 40, "steps_per_execution": 10},
}
SPACE = {HIDDEN: {"int": [4, 16]}, RATE: {"float": [0.001, 0.1], "log": True}}
GRID = {HIDDEN: {"choice": [4, 8]}, RATE: {"choice": [0.01, 0.03, 0.1]}}


@pytest.fixture
def sweep(words, tmp_path):
    """Writes search.yaml, beside its base and data."""

    def write(space=SPACE, **options):
        (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
        told = {"base": "base.yaml", "space": space, "trials": 4, **options}
        (tmp_path / "search.yaml").write_text(yaml.safe_dump(told))
        return "sweep", "--config", "search.yaml"

    return write


@pytest.fixture
def plan(sweep):
    """Makes a plan of such a file."""

    def make(overrides=None, space=SPACE, trials=4, **options):
        sweep()
        return Plan(SweepOptions("base.yaml", space, trials=trials, **options), overrides or {}, "search")

    return make


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def trials_told(*results):
    """Trials that ended, by the lines on stderr."""
    lines = [line for result in results for line in result.stderr.splitlines()]
    return [line for line in lines if re.match(r"trial \d+, \d+ of \d+: ", line)]


def found(folder):
    """Parameters and value of the complete trials, by number."""
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder}/lightning_logs/sweeps/search/study.db")
    return {t.number: (t.params, t.value) for t in study.trials if t.state == optuna.trial.TrialState.COMPLETE}


BAD_SPACES = [
    ({}, "space is empty"),
    ({"a": {}}, "space a: cannot be read; give {int"),
    ({"a": {"int": [1, 2], "foo": 1}}, "space a: cannot be read: foo"),
    ({"a": {"int": [1, 2], "float": [1, 2]}}, "space a: cannot be read"),
    ({"a": {"int": 3}}, "space a: int is 3; give a list"),
    ({"a": {"int": [1, 2.5]}}, "space a: int is [1, 2.5]; give two whole numbers"),
    ({"a": {"int": [True, 2]}}, "give two whole numbers"),
    ({"a": {"float": [1]}}, "space a: float is [1]; give two numbers"),
    ({"a": {"float": [0, float("inf")]}}, "give two numbers"),
    ({"a": {"float": [2, 1]}}, "space a: float is [2, 1], low above high"),
    ({"a": {"float": [0, 1], "log": True}}, "space a: float is [0, 1], which has no logarithm"),
    ({"a": {"float": [1, 2], "log": 1}}, "space a: log is 1; give true or false"),
    ({"a": {"int": [1, 9], "log": True, "step": 2}}, "space a: log and step exclude each other"),
    ({"a": {"int": [1, 8], "step": 2}}, "space a: step is 2; it must be above 0 and lead from 1 to 8"),
    ({"a": {"choice": []}}, "space a: choice is empty"),
    ({"a": {"choice": [1, 1]}}, "space a: choice has a value twice"),
    ({"a": {"choice": [[1]]}}, "space a: choice has [1]; give numbers"),
    ({"a": {"choice": [1, 2], "log": True}}, "space a: log has no meaning for a choice"),
]


@pytest.mark.parametrize(("space", "message"), BAD_SPACES)
def test_a_space_that_makes_no_sense_is_refused(space, message):
    """Catches a search over something else than its file says, and a message that does not say where to look."""
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_space(space)


def test_a_space_is_read():
    """Catches ends, steps or kinds mixed up."""
    space = parse_space(
        {"a": {"int": [1, 9], "step": 4}, "b": {"float": [0.1, 10], "log": True}, "c": {"choice": [None]}}
    )
    assert space == {
        "a": Range(1, 9, whole=True, step=4),
        "b": Range(0.1, 10, whole=False, log=True),
        "c": Choice((None,)),
    }


def test_a_grid_has_every_combination_once():
    """Catches a corner that is left out, and an order that tries one value of a setting for the first half."""
    space = parse_space(
        {"a": {"int": [1, 9], "step": 4}, "b": {"float": [0.1, 0.3], "step": 0.1}, "c": {"choice": [0, "x"]}}
    )
    points = grid_points(space, seed=1)
    assert grid_size(space) == len(points) == 18
    expected = {(a, b, c) for a in (1, 5, 9) for b in (0.1, 0.2, 0.3) for c in (0, "x")}
    assert {tuple(point.values()) for point in points} == expected
    assert len({point["a"] for point in points[:6]}) > 1
    assert points == grid_points(space, seed=1) != grid_points(space, seed=2)


@pytest.mark.parametrize("form", [{"float": [0, 1]}, {"int": [1, 8], "log": True}, {"int": [1, 1_000_000]}])
def test_a_grid_without_end_is_refused(form):
    """Catches a grid that silently tries the ends of a range only, or one that would take years."""
    with pytest.raises(ValueError, match="sampler: tpe"):
        grid_size(parse_space({"a": form}))


BAD_SWEEPS = [
    ({"space": {"model.network.init_args.hiden_dim": {"int": [1, 2]}}}, (), "hiden_dim at 1: Option 'hiden_dim'"),
    ({"space": {"trainer.foo": {"int": [1, 2]}}}, (), "space trainer.foo at 1"),
    ({"space": {HIDDEN: {"float": [1.5, 2.5]}}}, (), f"space {HIDDEN} at 1.5"),
    ({"space": {"data.batch_size": {"int": [0, 5]}}}, (), "space data.batch_size at 0: data.batch_size is 0"),
    ({"space": {"model.optimizer.lr.foo.bar": {"int": [0, 5]}}}, (), "space model.optimizer.lr.foo.bar at 0"),
    ({"space": {"data.block_size": {"int": [1, 2]}}}, (), "data.block_size follows from"),
    ({"space": {"data.path.x": {"int": [1, 2]}}}, (), "data.path.x leads nowhere: data.path is 'words.txt'"),
    ({"fixed": {"trainer.foo": 1}}, (), "base base.yaml with what is fixed: Group 'trainer' does not accept"),
    ({"fixed": {HIDDEN: 1}}, (), f"{HIDDEN} is fixed and stands in space too"),
    ({"base": "nope.yaml"}, (), "base nope.yaml cannot be read"),
    ({"foo": 1}, (), "Option 'foo' is not accepted"),
    ({"trials": None}, (), "trials is missing"),
    ({"trials": 0}, (), "trials"),
    ({"sampler": "grid"}, (), f"space {RATE}: a grid needs"),
    ({"pruner": "hyperband"}, ("--trainer.max_steps", "5"), "pruner hyperband needs trainer.max_steps of 9 or more"),
    ({"pruner": "median", "space": {"data.batch_size": {"int": [4, 5]}}}, (), "pruner median compares trials at the"),
    ({}, ("--data.path", "nope.txt"), "nope.txt: no such file"),
    ({}, ("--data.path",), "--data.path has no value"),
    ({}, ("--trainer.devices", "2", "--trainer.steps_per_execution", "1"), "set --trainer.devices 1"),
    ({}, ("--name", "../x"), "name is '../x'"),
]


@pytest.mark.parametrize(("options", "args", "message"), BAD_SWEEPS)
def test_a_sweep_that_makes_no_sense_leaves_nothing(sweep, tmp_path, options, args, message):
    """Catches errors of every trial that could be told before the first, and a study's folder made in vain."""
    told = sweep(**options)
    before = listing(tmp_path)
    result = run(*told, *args, cwd=tmp_path)
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr
    assert listing(tmp_path) == before


def test_a_sweep_ends_with_a_recipe_that_keeps_its_promise(sweep, tmp_path):
    """Catches trials that train otherwise than `fit`, that leave run folders, or whose rows or table are another's."""
    result = run(*sweep(), "--trainer.max_steps", "30", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(trials_told(result)) == len(result.stderr.splitlines()) == 4
    folder = tmp_path / "lightning_logs/sweeps/search"
    assert sorted(path.name for path in (tmp_path / "lightning_logs").iterdir()) == ["sweeps"]
    trials = found(tmp_path)
    best = min(trials, key=lambda number: trials[number][1])
    header, *rows = [line.split() for line in result.stdout.splitlines()[2:7]]
    assert header == ["trial", "val/loss", "hidden_dim", "lr"]
    assert rows[0][:2] == [str(best), f"{trials[best][1]:.4f}"]
    assert [float(row[1]) for row in rows] == sorted(float(row[1]) for row in rows)
    for number, (params, value) in trials.items():
        events = EventAccumulator(str(folder / f"trial_{number}")).Reload()
        assert [event.value for event in events.Scalars("hp/val_loss")] == pytest.approx([value])
        start = HParamsPluginData.FromString(events.PluginTagToContent("hparams")["_hparams_/session_start_info"])
        assert start.session_start_info.hparams[HIDDEN].number_value == params[HIDDEN]
    config = yaml.safe_load((folder / "best.yaml").read_text())
    assert config["model"]["optimizer"]["init_args"]["lr"] == trials[best][0][RATE]
    assert config["trainer"] == {**BASE["trainer"], "max_steps": 30}
    fitted = run("fit", "--config", folder / "best.yaml", cwd=tmp_path)
    assert f"(val/loss {trials[best][1]:.4f})" in fitted.stdout


def test_a_study_goes_on_as_if_it_had_not_stopped(plan, tmp_path):
    """Catches a resumed study whose sampler begins its random numbers again, and trials done twice."""

    def work(name, trials):
        study = Study(plan(trials=trials), tmp_path / name, max_steps=40, tell=pytest.fail)
        while (trial := study.next_trial()) is not None:
            study.finish(trial, trial.params[HIDDEN] * trial.params[RATE])
        return [(trial.params, trial.value) for trial in study.finished]

    parts = [work("parts", trials) for trials in (2, 15, 15)]
    assert parts[1] == parts[2] == work("whole", 15)
    assert parts[0] == parts[2][:2]
    assert len({params[RATE] for params, _ in parts[2]}) == 15


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_finished_trials_outlive_their_process(sweep, tmp_path, signum):
    """Catches results kept in memory, a trial that stays "running" for ever, and a count that goes wrong by it."""
    seldom = {"trainer.val_check_interval": 400, "trainer.check_val_every_n_epoch": None}
    args = sweep(fixed={"trainer.max_steps": 800, **seldom}, trials=3)
    stopped = Command(*args, cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (kept := found(tmp_path) if list(tmp_path.rglob("trial_0")) else {}) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(stopped.process.pid, signum)
    first = stopped.wait()
    assert first.returncode == (130 if signum == signal.SIGINT else -signum)
    if signum == signal.SIGINT:
        assert first.stderr.splitlines()[-1].startswith("stopped by SIGINT; finished trials are kept, go on with: ")
        assert first.stderr.endswith("python -m mm_lightning sweep --config search.yaml\n")
    second = run(*args, cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("search: 3 of 3 trials are done: 3 complete\n")
    assert kept
    assert kept.items() <= found(tmp_path).items()
    assert len(found(tmp_path)) == 3
    assert not list((tmp_path / "lightning_logs/sweeps/search/running").iterdir())


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_workers_share_a_study(sweep, tmp_path, storage):
    """Catches workers that do all trials each, do one twice, or fall over each other's writing."""
    args = sweep(GRID, sampler="grid", trials=None, storage=storage)
    workers = [Command(*args, cwd=tmp_path) for _ in range(3)]
    results = [worker.wait() for worker in workers]
    assert [result.returncode for result in results] == [0, 0, 0], [result.stderr for result in results]
    told = trials_told(*results)
    assert len(told) == 6
    assert len({re.search("hidden_dim .*;", line)[0] for line in told}) == 6
    assert max(int(line.split()[2]) for line in told) == 6


def test_a_failed_trial_is_a_result(sweep, tmp_path):
    """Catches a sweep that one diverging trial ends, or that takes its loss for good."""
    diverging = {RATE: {"choice": [0.01, 1e30]}}
    result = run(*sweep(diverging, sampler="grid", trials=None), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("search: 2 of 2 trials are done: ")
    assert "1 failed" in result.stdout.splitlines()[0]
    assert re.search(r"failed: (train|val)/loss became \w+ by step", result.stderr)
    all_fail = run(*sweep({RATE: {"choice": [1e30]}}, trials=1), "--name", "other", cwd=tmp_path)
    assert all_fail.returncode == 1
    assert "error: no trial was completed" in all_fail.stderr.splitlines()[-1]
    assert not (tmp_path / "lightning_logs/sweeps/other/best.yaml").exists()


CHANGES = [
    ({"space": {**SPACE, HIDDEN: {"int": [4, 17]}}}, {}, f"began with space {HIDDEN}: {{'int': [4, 16]}}, now it is"),
    ({"fixed": {"data.batch_size": 6}}, {}, "began with fixed data.batch_size: None, now it is 6"),
    ({}, {"trainer.max_steps": 41}, "began with fixed trainer.max_steps: None, now it is 41"),
    ({"storage": "journal"}, {}, "storage is journal, but the study in"),
]


@pytest.mark.parametrize(("options", "overrides", "message"), CHANGES)
def test_a_study_of_other_trials_is_not_gone_on_with(plan, tmp_path, options, overrides, message):
    """Catches trials compared that had other data, steps or ranges."""
    folder = tmp_path / "study"
    Study(plan(), folder, max_steps=40, tell=pytest.fail)
    before = listing(folder)
    with pytest.raises(ValueError, match=re.escape(message)):
        Study(plan(overrides, **options), folder, max_steps=40, tell=pytest.fail)
    assert listing(folder) == before


@pytest.mark.parametrize(("storage", "name"), [("sqlite", "study.db"), ("journal", "study.journal")])
def test_a_damaged_study_is_told(plan, tmp_path, storage, name):
    """Catches a traceback, and a new study put over the remains of the old."""
    (tmp_path / name).write_text("no study\n" * 100)
    with pytest.raises(ValueError, match=f"{name} cannot be read as a study .*; remove it"):
        Study(plan(storage=storage), tmp_path, max_steps=40, tell=pytest.fail)
    assert (tmp_path / name).read_text() == "no study\n" * 100


def test_without_optuna_it_says_how_to_get_it(sweep, tmp_path, monkeypatch):
    """Catches a traceback for everyone who did not ask for the extra."""
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"uv sync --extra sweep, or pip install 'mm-lightning\[sweep\]'"):
        command.main(list(sweep()[1:]))


def pruned_at(study, losses):
    """Last steps of trials whose loss is the same all the time."""
    for loss in losses:
        trial, outcome = study.next_trial(), loss
        try:
            for step in (10, 30, 60, 90):
                study.look(trial, step, loss)
        except optuna.TrialPruned as pruned:
            outcome = pruned
        study.finish(trial, outcome)
    assert study.next_trial() is None
    return [trial.last_step for trial in study.finished]


@pytest.mark.parametrize(("pruner", "ends"), [("none", [90] * 9), ("median", [90] * 5 + [30] * 3 + [90])])
def test_trials_are_pruned_by_step(plan, tmp_path, pruner, ends):
    """Catches losses reported at other steps than optimiser steps, and a pruner that is never asked."""
    study = Study(plan(trials=9, pruner=pruner), tmp_path / "study", max_steps=90, tell=pytest.fail)
    assert pruned_at(study, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.5]) == ends
    assert study.complete[0].number == 8


def test_hyperband_spares_the_best(plan, tmp_path):
    """Catches rungs that lie beyond the last step, where nothing is ever pruned."""
    study = Study(plan(trials=30, pruner="hyperband"), tmp_path / "study", max_steps=90, tell=pytest.fail)
    ends = pruned_at(study, [float(number * 7 % 30) for number in range(30)])
    assert study.complete[0].value == 0
    assert {10, 30, 90} >= set(ends)
    assert 5 < ends.count(90) < 25


@pytest.mark.parametrize("config", sorted((ROOT / "configs/sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_for_a_sweep_runs(config: Path, words, tmp_path):
    """Catches a search in configs/sweeps whose base or keys are gone."""
    assert config.read_text(encoding="utf-8").startswith("# ")
    result = run(
        "sweep", "--config", config, "--data.path", words, "--trials", 1, "--trainer.max_steps", 3, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / f"lightning_logs/sweeps/{config.stem}/best.yaml").is_file()
