"""The sweep command as a user runs it: errors, results, workers, and processes that are stopped or killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from run_command import ROOT, Command, run
from sweep_cases import BASE, GRID, HIDDEN, RATE, SPACE, complete_trials, list_files, trial_lines
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from mm_lightning import UserError
from mm_lightning.sweep import command
from mm_lightning.sweep.options import SweepOptions
from mm_lightning.sweep.plan import Plan
from mm_lightning.sweep.trials import check

BAD_SWEEPS = [
    (
        {"space": {"model.network.init_args.hiden_dim": {"int": [1, 2]}}},
        (),
        "hiden_dim at 1: model.network.hiden_dim is not an option; did you mean hidden_dim?\n",
    ),
    ({}, ("--model.optimizer.init_args.foo", "1"), "model.optimizer.foo is not an option\n"),
    ({"space": {"trainer.foo": {"int": [1, 2]}}}, (), "space trainer.foo at 1"),
    ({"space": {HIDDEN: {"float": [1.5, 2.5]}}}, (), f"space {HIDDEN} at 1.5"),
    ({"space": {"data.batch_size": {"int": [0, 5]}}}, (), "space data.batch_size at 0: data.batch_size is 0"),
    ({"space": {"model.optimizer.lr.foo.bar": {"int": [0, 5]}}}, (), "model.optimizer.init_args.lr is 0.01; write"),
    ({"space": {"data.block_size": {"int": [1, 2]}}}, (), "data.block_size follows from"),
    ({"space": {"data.path.x": {"int": [1, 2]}}}, (), "data.path.x leads nowhere: data.path is 'words.txt'"),
    ({"fixed": {"trainer.foo": 1}}, (), "base base.yaml with what is fixed: trainer.foo is not an option"),
    ({"fixed": {HIDDEN: 1}}, (), f"{HIDDEN} is fixed and stands in space too"),
    ({"base": "nope.yaml"}, (), "nope.yaml: no such file"),
    ({"foo": 1}, (), "foo is not an option"),
    ({"trials": None}, (), "trials is missing"),
    ({"trials": 0}, (), "trials"),
    ({"fixed": None}, (), "fixed is null; leave it out or give"),
    ({"sampler": None}, (), "sampler is null; leave it out or give"),
    ({"sampler": "grid"}, (), f"space {RATE}: a grid needs"),
    ({"pruner": "hyperband"}, ("--trainer.max_steps", "5"), "pruner hyperband needs trainer.max_steps of 9 or more"),
    ({"pruner": "median", "space": {"data.batch_size": {"int": [4, 5]}}}, (), "pruner median compares trials at the"),
    ({}, ("--data.path", "nope.txt"), "nope.txt: no such file"),
    ({}, ("--data.path",), "--data.path has no value"),
    ({}, ("--name", "../x"), "name is '../x'"),
]


@pytest.mark.parametrize(("options", "args", "message"), BAD_SWEEPS)
def test_an_invalid_sweep_leaves_nothing(sweep, tmp_path, options, args, message):
    """Catches errors of every trial that could be told before the first, and a study's folder made in vain."""
    args_of_file = sweep(**options)
    before = list_files(tmp_path)
    result = run(*args_of_file, *args, cwd=tmp_path)
    assert result.returncode in (1, 2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr
    assert list_files(tmp_path) == before


def test_a_sweep_ends_with_a_recipe_that_keeps_its_promise(sweep, tmp_path):
    """Catches trials unlike a `fit`, run folders, rows or a table of other trials, and a run that is no base."""
    result = run(*sweep(), "--trainer.max_steps", "30", "--trainer.devices", "2", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    alone, *lines = result.stderr.splitlines()
    assert alone.startswith("sweep uses one device; trainer.devices 2 has no effect; start the command several times")
    assert len(trial_lines(result)) == len(lines) == 4
    folder = tmp_path / "lightning_sweeps/search"
    assert not (tmp_path / "lightning_logs").exists()
    trials = complete_trials(tmp_path)
    best = min(trials, key=lambda number: trials[number][1])
    header, *rows = [line.split() for line in result.stdout.splitlines()[2:7]]
    assert header == ["trial", "val/loss", "hidden_dim", "lr"]
    assert rows[0][:2] == [str(best), f"{trials[best][1]:.4f}"]
    assert [float(row[1]) for row in rows] == sorted(float(row[1]) for row in rows)
    for number, (params, value) in trials.items():
        events = EventAccumulator(str(folder / f"trial_{number}")).Reload()
        assert [event.value for event in events.Scalars("val/best_loss")] == pytest.approx([value])
        start = HParamsPluginData.FromString(events.PluginTagToContent("hparams")["_hparams_/session_start_info"])
        assert start.session_start_info.hparams[HIDDEN].number_value == params[HIDDEN]
    config = yaml.safe_load((folder / "best.yaml").read_text())
    assert config["model"]["optimizer"]["init_args"]["lr"] == trials[best][0][RATE]
    assert config["trainer"] == {**BASE["trainer"], "max_steps": 30, "devices": 1}
    fitted = run("fit", "--config", folder / "best.yaml", cwd=tmp_path)
    assert f"(val/loss {trials[best][1]:.4f})" in fitted.stdout
    of_run = SweepOptions("lightning_logs/version_0/config.yaml", SPACE, trials=1)
    assert check(Plan(of_run, {}, "search")).max_steps == 30


@pytest.mark.parametrize("signum", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_finished_trials_outlive_their_process(sweep, tmp_path, signum):
    """Catches results kept in memory, a trial that stays "running" for ever, and a count that goes wrong by it."""
    seldom = {"trainer.val_check_interval": 400, "trainer.check_val_every_n_epoch": None}
    args = sweep(fixed={"trainer.max_steps": 800, **seldom}, trials=3)
    stopped = Command(*args, cwd=tmp_path)
    deadline = time.monotonic() + 60
    kept = {}
    while not kept and time.monotonic() < deadline:
        time.sleep(0.05)
        kept = complete_trials(tmp_path) if list(tmp_path.rglob("trial_0")) else {}
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
    assert kept.items() <= complete_trials(tmp_path).items()
    assert len(complete_trials(tmp_path)) == 3
    assert not list((tmp_path / "lightning_sweeps/search/running").iterdir())


@pytest.mark.parametrize("storage", [pytest.param("sqlite", marks=pytest.mark.slow), "journal"])
def test_workers_share_a_study(sweep, tmp_path, storage):
    """Catches workers that do all trials each, do one twice, or fall over each other's writing."""
    args = sweep(GRID, sampler="grid", trials=None, storage=storage)
    workers = [Command(*args, cwd=tmp_path) for _ in range(3)]
    results = [worker.wait() for worker in workers]
    assert [result.returncode for result in results] == [0, 0, 0], [result.stderr for result in results]
    lines = trial_lines(*results)
    assert len(lines) == 6
    assert len({re.search("hidden_dim .*;", line)[0] for line in lines}) == 6
    assert max(int(line.split()[2]) for line in lines) == 6


def test_a_failed_trial_is_a_result(sweep, tmp_path):
    """Catches a sweep that one diverging trial ends, or that takes its loss for good."""
    diverging = {RATE: {"choice": [0.01, 1e30]}}
    result = run(*sweep(diverging, sampler="grid", trials=None), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("search: 2 of 2 trials are done: ")
    assert "1 failed" in result.stdout.splitlines()[0]
    assert re.search(r"failed: .*(became \w+|no longer finite.*) at step \d+: training diverged", result.stderr)
    all_fail = run(*sweep({RATE: {"choice": [1e30]}}, trials=1), "--name", "other", cwd=tmp_path)
    assert all_fail.returncode == 1
    assert "error: no trial was completed" in all_fail.stderr.splitlines()[-1]
    assert not (tmp_path / "lightning_sweeps/other/best.yaml").exists()


def test_without_optuna_it_says_how_to_get_it(sweep, monkeypatch):
    """Catches a traceback for everyone who did not ask for the extra."""
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"uv sync --extra sweep, or pip install 'mm-lightning\[sweep\]'"):
        command.main(list(sweep()[1:]))


def test_help_needs_neither_optuna_nor_torch():
    """Catches help that users without the extra cannot read, and help that takes seconds."""
    code = """
import sys
sys.modules.update(dict.fromkeys(("optuna", "torch", "lightning")))
from mm_lightning.__main__ import main
sys.argv[1:] = ["sweep", "--help"]
main()"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--pruner {none,median,hyperband}" in result.stdout


@pytest.mark.parametrize("config", sorted((ROOT / "configs/sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_recipe_for_a_sweep_runs(config: Path, words, tmp_path):
    """Catches a search in configs/sweeps whose base or keys are gone."""
    assert config.read_text(encoding="utf-8").startswith("# ")
    result = run(
        "sweep", "--config", config, "--data.path", words, "--trials", 1, "--trainer.max_steps", 3, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / f"lightning_sweeps/{config.stem}/best.yaml").is_file()


def test_a_study_in_its_former_place_is_not_begun_again(sweep, tmp_path):
    """Catches a search that starts anew, without a word, beside its finished trials."""
    former = tmp_path / "lightning_logs/sweeps/search"
    former.mkdir(parents=True)
    result = run(*sweep(), cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("move that folder to lightning_sweeps/search")
    assert not (tmp_path / "lightning_sweeps").exists()


def test_networks_are_fixed_or_searched(sweep, tmp_path):
    """Catches a network that no trial can build, since the parser filled in its defaults, and classes not exchanged."""
    gru = {"class_path": "mm_lightning.networks.GRU", "init_args": {"hidden_dim": 8}}
    rates = {RATE: {"choice": [0.01, 0.1]}}
    fixed = run(*sweep(space=rates, sampler="grid", trials=None, fixed={"model.network": gru}), cwd=tmp_path)
    assert fixed.returncode == 0, fixed.stderr
    assert yaml.safe_load((tmp_path / "lightning_sweeps/search/best.yaml").read_text())["model"]["network"] == gru
    classes = ["mm_lightning.networks.MLP", "mm_lightning.networks.GRU"]
    searched = sweep(space={"model.network": {"choice": classes}}, sampler="grid", trials=None, name="classes")
    done = run(*searched, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f"network {name};" in done.stderr for name in classes)
