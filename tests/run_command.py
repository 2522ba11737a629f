"""Run the command line in processes of its own, forked from one that has imported it once: import takes seconds."""

import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_only

ROOT = Path(__file__).parents[1]
FIT = ("fit", "--config", str(ROOT / "configs/mlp.yaml"))
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["mm_lightning.sweep.results", "mm_lightning.sweep.trials"])


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


class Command:
    """A command under way, with its own working directory, stdout and stderr.

    `prepare` is a function of a module, called in the process before the command: to inject a fault.
    """

    def __init__(self, *args, cwd, prepare=None):
        self._files = [tempfile.NamedTemporaryFile("r", encoding="utf-8", newline="") for _ in range(2)]  # noqa: SIM115
        names = [file.name for file in self._files]
        self.stderr = names[1]
        self.process = _CONTEXT.Process(target=_child, args=([str(a) for a in args], str(cwd), *names, prepare))
        self.process.start()

    def wait(self, timeout=240):
        self.process.join(timeout)
        has_ended = self.process.exitcode is not None
        if not has_ended:
            self.process.kill()
            self.process.join()
        stdout, stderr = (file.read() for file in self._files)
        for file in self._files:
            file.close()
        assert has_ended, f"the command did not end; its stderr: {stderr[-2000:]}"
        return Result(self.process.exitcode, stdout, stderr)


def run(*args, cwd, timeout=240, prepare=None):
    return Command(*args, cwd=cwd, prepare=prepare).wait(timeout)


def run_ranks(count, *args, cwd):
    """Run a command in processes that train together, as torchrun starts them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    commands = [Command(*args, cwd=cwd, prepare=partial(_join, rank, count, port)) for rank in range(count)]
    results = [command.wait() for command in commands]
    assert [result.returncode for result in results] == [0] * count, [result.stderr for result in results]
    return results


def _join(rank, count, port):
    """Set the variables that torchrun sets; Lightning has read its rank at import."""
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    store = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ.update({key: str(value) for key, value in (ranks | store | {"GROUP_WORLD_SIZE": 1}).items()})
    rank_zero_only.rank = rank


def _child(args, cwd, stdout, stderr, prepare):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job has it ignored
    os.chdir(cwd)
    for fd, name in ((1, stdout), (2, stderr)):
        file = os.open(name, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, fd)
    sys.argv = ["mm_lightning", *args]
    if prepare is not None:
        prepare()
    from mm_lightning.__main__ import main  # noqa: PLC0415 # in the child

    main()


def fork(function, *args, timeout=240):
    """Exit code of a function in a process of its own."""
    process = _CONTEXT.Process(target=function, args=args)
    process.start()
    process.join(timeout)
    return process.exitcode
