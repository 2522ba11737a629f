"""Processes of torchrun, on one machine and on two: one is killed, gone or wrong, or all are stopped."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from reliability.test_processes import FIT, LIMIT_SECONDS, is_alive, resume, wait_until
from run_command import ROOT

LAST = Path("lightning_logs/version_0/checkpoints/last.ckpt")


class Machine:
    """A torchrun with its processes, as one of several machines that meet on this one."""

    def __init__(self, number, machines, processes, port, args, cwd):
        self._files = [(cwd / f"{name}{number}.txt").open("w+", encoding="utf-8") for name in ("out", "err")]
        torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", processes, "--nnodes", machines)
        place = ("--node_rank", number, "--master_addr", "127.0.0.1", "--master_port", port)
        command = [str(arg) for arg in (*torchrun, *place, "-m", "mm_lightning", *args)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        out, err = self._files
        self.torchrun = subprocess.Popen(command, cwd=cwd, stdout=out, stderr=err, env=env)
        self._seen = set()

    @property
    def pids(self):
        """Processes that torchrun has started."""
        with suppress(FileNotFoundError):
            found = Path(f"/proc/{self.torchrun.pid}/task/{self.torchrun.pid}/children").read_text()
            self._seen |= set(map(int, found.split()))
        return sorted(self._seen)

    def lines(self, *starts):
        """Lines on stderr that begin so."""
        self._files[1].seek(0)
        return [line for line in self._files[1].read().splitlines() if line.startswith(starts)]

    def end(self):
        for pid in (self.torchrun.pid, *self.pids):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.torchrun.wait()
        for file in self._files:
            file.close()


@pytest.fixture
def start(words, tmp_path):
    """Starts a fit on some machines with some processes each."""
    started = []

    def start(machines, processes, *options):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        cpu = ("--trainer.accelerator", "cpu", "--data.path", words, "--data.batch_size", 5)
        args = (*FIT, *cpu, "--trainer.steps_per_execution", 5, "--last.every_n_train_steps", 20, *options)
        started.extend(Machine(i, machines, processes, port, args, tmp_path) for i in range(machines))
        return started

    yield start
    for machine in started:
        machine.end()


def wait(machines, timeout=LIMIT_SECONDS, but=()):
    """Exit statuses of all torchruns, once they and their processes have ended."""
    deadline = time.monotonic() + timeout
    pids = {pid for machine in machines for pid in machine.pids} - set(but)
    while any(machine.torchrun.poll() is None for machine in machines) or any(map(is_alive, pids)):
        assert time.monotonic() < deadline, [machine.lines("") for machine in machines]
        time.sleep(0.05)
    return [machine.torchrun.returncode for machine in machines]


def train(start, *shape):
    """Start a long fit, and wait for its first checkpoint."""
    machines = start(*shape, "--trainer.max_steps", 50_000)
    wait_until(LAST.exists)
    assert all(len(machine.pids) == shape[1] for machine in machines)
    return machines


def test_two_machines_write_one_run(start, tmp_path):
    """Catches two runs of one process each, and a folder, a curve or a line of stdout from each machine."""
    assert wait(start(2, 1, "--trainer.max_steps", 20), 240) == [0, 0]
    run = LAST.parents[1]
    assert [path.name for path in run.parent.iterdir()] == ["version_0"]
    assert len(list(run.glob("events.out.tfevents.*"))) == 1
    assert sorted(path.name for path in LAST.parent.iterdir()) == ["best.ckpt", "last.ckpt"]
    assert torch.load(LAST, weights_only=True)["callbacks"]["random_state"]["cpu"].shape[0] == 2
    assert "best checkpoint: " in (tmp_path / "out0.txt").read_text()
    assert (tmp_path / "out1.txt").read_text() == ""


ONE, TWO = (1, 2), (2, 1)  # machines, and processes on each
KILLS = [(ONE, 0), (ONE, 1), (TWO, 0), (TWO, 1), (ONE, "torchrun 0"), (TWO, "torchrun 0"), (TWO, "torchrun 1")]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "victim"), KILLS)
def test_all_end_when_one_is_killed(start, tmp_path, shape, victim):
    """Catches a process that trains on alone or waits for half an hour, status 0, and a lost run."""
    machines = train(start, *shape)
    ranks = [pid for machine in machines for pid in machine.pids]
    agents = {f"torchrun {i}": machine.torchrun.pid for i, machine in enumerate(machines)}
    os.kill(agents.get(victim) or ranks[victim], signal.SIGKILL)
    assert 0 not in wait(machines)
    errors = [machine.lines("error: ", "stopped by") for machine in machines]
    assert all(len(lines) <= 1 for lines in errors), errors
    assert any(errors) or (shape, victim) == (ONE, 0)  # torchrun reports a killed process
    assert all("go on with" in line for lines in errors for line in lines)
    resume(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_all_end_when_a_machine_is_gone(start, tmp_path, rank):
    """Catches a process that waits for half an hour for one whose connection never closes."""
    machines = train(start, *TWO)
    gone = machines[rank].pids
    for pid in (machines[rank].torchrun.pid, *gone):
        os.kill(pid, signal.SIGSTOP)
    other = machines[1 - rank]
    assert wait([other]) == [1]
    assert len(other.lines("error: ")) == 1
    for pid in (machines[rank].torchrun.pid, *gone):
        os.kill(pid, signal.SIGKILL)
    wait(machines)
    resume(tmp_path)


SIGNALS = [(ONE, signal.SIGTERM, 0), (ONE, signal.SIGINT, 0), (TWO, signal.SIGINT, 0), (TWO, signal.SIGTERM, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "signum", "number"), SIGNALS)
def test_a_signal_to_torchrun_saves_a_checkpoint(start, tmp_path, shape, signum, number):
    """Catches a run that ends without its last steps, and a line from each process."""
    machines = train(start, *shape)
    os.kill(machines[number].torchrun.pid, signum)
    assert 0 not in wait(machines)
    assert machines[0].lines("error: ") == []
    (line,) = machines[0].lines("stopped by")
    assert f"after {torch.load(LAST, weights_only=True)['global_step']} steps; go on with: " in line
    resume(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "message"),
    [(("--data.path", "none.txt"), "error: none.txt"), (("--model.optimizer.lr", "1e30"), "error: ")],
)
def test_an_error_of_all_is_reported_once(start, option, message):
    """Catches a line from each process, before they have met and in training."""
    (machine,) = start(*ONE, "--trainer.max_steps", 500, *option)
    assert 0 not in wait([machine], 240)
    (line,) = machine.lines("error: ", "stopped by")
    assert line.startswith(message)
