"""Several processes: one is killed, all are stopped, several start at once, and workers of a sweep are killed."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import optuna
import pytest
import torch
import yaml
from reliability.crashes import traces
from run_command import ROOT, Command, Result, run

FIT = (
    *("fit", "--config", ROOT / "configs/mlp.yaml", "--trainer.enable_model_summary", "false"),
    *("--trainer.enable_progress_bar", "false"),
)
LIMIT_SECONDS = 60  # for all processes to end after one was killed
MOMENTS = {  # options under which the process spends most of its time at the moment
    "training": ("--last.every_n_train_steps", 20),
    "validation": ("--last.every_n_train_steps", 20, "--trainer.val_check_interval", 2),
    "save": ("--last.every_n_train_steps", 1),
}
KILLS = [(moment, devices, rank) for moment in MOMENTS for devices in (2, 3) for rank in range(devices)]


class Ranks:
    """A command under Lightning's launcher, which starts the other processes from the first one's command line."""

    def __init__(self, args, cwd):
        self._files = [(cwd / name).open("w+", encoding="utf-8") for name in ("out.txt", "err.txt")]
        command = [sys.executable, "-m", "mm_lightning", *map(str, args)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        out, err = self._files
        self.first = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=err, env=env, start_new_session=True)

    @property
    def pids(self):
        children = Path(f"/proc/{self.first.pid}/task/{self.first.pid}/children").read_text()
        return [self.first.pid, *map(int, children.split())]

    def have_started(self):
        """Whether there are two processes that last; a library may start another program for a moment."""
        before = self.pids
        time.sleep(0.5)
        return len(before) == 2 and self.pids == before

    def wait(self, pids=(), timeout=120):
        """Wait for the first process and for the others."""
        deadline = time.monotonic() + timeout
        while self.first.poll() is None or any(map(is_alive, pids)):
            assert time.monotonic() < deadline, f"a process did not end: {self.read(1)}"
            time.sleep(0.05)
        return Result(self.first.returncode, self.read(0), self.read(1))

    def read(self, file):
        self._files[file].seek(0)
        return self._files[file].read()

    def end(self):
        """Kill all processes that are left."""
        with suppress(ProcessLookupError):
            os.killpg(self.first.pid, signal.SIGKILL)
        self.first.wait()
        for file in self._files:
            file.close()


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def launch(*args, cwd, devices):
    strategy = ("--trainer.accelerator", "cpu", "--trainer.strategy", "ddp", "--trainer.devices", devices)
    return Ranks((*args, *strategy), cwd)


@pytest.fixture
def training(words, tmp_path):
    """Starts a long fit on several devices, and waits for its first checkpoint."""
    started = []

    def start(devices, *options):
        rest = ("--data.path", words, "--data.batch_size", 5, "--trainer.steps_per_execution", 1)
        ranks = launch(*FIT, *rest, "--trainer.max_steps", 50_000, *options, cwd=tmp_path, devices=devices)
        started.append(ranks)
        wait_until((tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt").exists)
        return ranks

    yield start
    for ranks in started:
        ranks.end()


def wait_until(is_true, timeout=120):
    deadline = time.monotonic() + timeout
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def resume(folder, more=3):
    """Resume the run on one device for a few steps."""
    last = folder / "lightning_logs/version_0/checkpoints/last.ckpt"
    step = torch.load(last, weights_only=True)["global_step"]
    one = ("--trainer.strategy", "auto", "--trainer.devices", 1, "--trainer.max_steps", step + more)
    resumed = run("fit", "--ckpt_path", last, *one, cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert torch.load(last, weights_only=True)["global_step"] == step + more


def a_case(case):
    return pytest.param(*case, marks=() if case == ("save", 2, 1) else pytest.mark.slow)


@pytest.mark.parametrize(("moment", "devices", "rank"), [a_case(case) for case in KILLS])
def test_all_processes_end_when_one_is_killed(training, tmp_path, moment, devices, rank):
    """Catches a process that waits for its partner for half an hour, a traceback, status 0 and a lost run."""
    ranks = training(devices, *MOMENTS[moment])
    time.sleep(random.Random(f"{moment}{devices}{rank}").random())
    pids = ranks.pids
    assert len(pids) == devices
    os.kill(pids[rank], signal.SIGKILL)
    ended = ranks.wait(pids, LIMIT_SECONDS)
    assert ended.returncode == (1 if rank else -signal.SIGKILL)
    assert "Traceback" not in ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, ended.stderr
    how = "was killed by SIGKILL; go on with: python -m mm_lightning fit --ckpt_path" if rank else "ended too early"
    assert f"process {rank} of {devices} {how}" in errors[0]
    resume(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_killed_before_all_have_met_ends_the_others(words, tmp_path, rank):
    """Catches a process that waits for half an hour for one that never comes."""
    ranks = launch(*FIT, "--data.path", words, "--trainer.steps_per_execution", 1, cwd=tmp_path, devices=2)
    try:
        wait_until(ranks.have_started)
        pids = ranks.pids
        os.kill(pids[rank], signal.SIGKILL)
        ended = ranks.wait(pids, LIMIT_SECONDS)
    finally:
        ranks.end()
    assert ended.returncode in (1, -signal.SIGKILL)
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("error: ") <= 1


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("target", ["first", "second", "all"])
def test_a_signal_stops_all_processes(training, tmp_path, signum, target):
    """Catches a line per process, and the name of a file that is not there."""
    ranks = training(2, *MOMENTS["training"])
    pids = ranks.pids
    for pid in pids if target == "all" else pids[target == "second" :][:1]:
        os.kill(pid, signum)
    ended = ranks.wait(pids, LIMIT_SECONDS)
    lines = [line for line in ended.stderr.splitlines() if line.startswith(("stopped by", "error"))]
    assert len(lines) == 1, ended.stderr
    found = re.fullmatch(r"stopped by (SIG\w+) after (\d+) steps; go on with: .* --ckpt_path (\S+)", lines[0])
    name = signum if target != "second" else signal.SIGTERM  # a process without a signal of its own stops as by SIGTERM
    assert found[1] == name.name
    assert ended.returncode == 128 + name
    assert torch.load(tmp_path / found[3], weights_only=True)["global_step"] == int(found[2])
    resume(tmp_path)


def short_fit(words, *options):
    return (*FIT, "--data.path", words, "--trainer.max_steps", 20, "--last.every_n_train_steps", 5, *options)


@pytest.mark.parametrize("count", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_runs_started_at_once_have_folders_of_their_own(words, tmp_path, count):
    """Catches two runs that write into one folder."""
    commands = [Command(*short_fit(words), cwd=tmp_path) for _ in range(count)]
    for result in [command.wait() for command in commands]:
        assert result.returncode == 0, result.stderr
    runs = sorted((tmp_path / "lightning_logs").iterdir())
    assert len(runs) == count
    for path in runs:
        assert torch.load(path / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 20
        assert len(list(path.glob("events.out.tfevents.*"))) == 1


@pytest.mark.parametrize("count", [3, pytest.param(9, marks=pytest.mark.slow)])
def test_one_of_several_resumes_at_once_wins(words, tmp_path, count):
    """Catches two processes that train one run, and a point of a curve that is written twice."""
    assert run(*short_fit(words), cwd=tmp_path).returncode == 0
    more = ("--trainer.max_steps", 800, "--trainer.steps_per_execution", 1)
    commands = [Command("fit", "--ckpt_path", "last", *more, cwd=tmp_path) for _ in range(count)]
    results = [command.wait() for command in commands]
    refused = [result for result in results if "error: another process is training in" in result.stderr]
    late = [result for result in results if "has done its 800 steps of 800" in result.stderr]  # on a busy machine
    assert [result.returncode for result in (*refused, *late)] == [1] * len(refused) + [0] * len(late)
    assert len(refused) + len(late) == count - 1, [result.stderr for result in results]
    assert not any("Traceback" in result.stderr for result in results)
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    left = traces(tmp_path / "lightning_logs/version_0")
    assert left["last.ckpt"]["global_step"] == 800
    for tag, points in left["tensorboard"].items():
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps)), tag


HIDDEN, TRIALS = "model.network.init_args.hidden_dim", 6
BASE = {
    "model": {
        "network": {"class_path": "mm_lightning.networks.MLP", "init_args": {"block_size": 2, "embed_dim": 3}},
        "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}},
    },
    "data": {"batch_size": 5, "path": "words.txt"},
    "trainer": {"max_steps": 300, "steps_per_execution": 10},
}


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
@pytest.mark.parametrize("storage", ["journal", pytest.param("sqlite", marks=pytest.mark.slow)])
def test_a_sweep_outlives_its_workers(words, tmp_path, storage, rounds):
    """Catches a trial that is lost, doubled or for ever running, and a best.yaml of another trial."""
    rng = random.Random(storage)
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(BASE))
    for number in range(rounds):
        name = f"study{number}"
        space = {HIDDEN: {"choice": list(range(4, 4 + TRIALS))}}
        search = {"base": "base.yaml", "space": space, "sampler": "grid", "storage": storage, "name": name}
        (tmp_path / "search.yaml").write_text(yaml.safe_dump(search))
        command = ("sweep", "--config", "search.yaml")
        workers = [Command(*command, cwd=tmp_path) for _ in range(3)]
        for worker in workers[:2]:
            time.sleep(rng.uniform(0, 1.5))
            os.kill(worker.process.pid, signal.SIGKILL)
        for worker in workers:
            assert worker.wait().returncode in (0, -signal.SIGKILL)
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{name}: {TRIALS} of {TRIALS} trials are done: {TRIALS} complete\n")
        folder = tmp_path / "lightning_sweeps" / name
        complete = trials_of(folder, storage)
        assert sorted(trial.params[HIDDEN] for trial in complete) == list(range(4, 4 + TRIALS))
        best = min(complete, key=lambda trial: trial.value)
        written = yaml.safe_load((folder / "best.yaml").read_text())
        assert written["model"]["network"]["init_args"]["hidden_dim"] == best.params[HIDDEN]
        assert not list((folder / "running").iterdir())
        rows = {path.name for path in folder.glob("trial_*")}
        assert rows == {f"trial_{trial.number}" for trial in complete}


def trials_of(folder, storage):
    if storage == "sqlite":
        study = optuna.load_study(study_name=None, storage=f"sqlite:///{folder}/study.db")
    else:
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "study.journal"))
        study = optuna.load_study(study_name=None, storage=optuna.storages.JournalStorage(backend))
    return [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
