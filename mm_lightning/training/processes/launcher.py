"""The processes of a run on several devices: where one ends too early, all end, with one line on stderr.

The first process of a machine starts the others as its children, or torchrun starts all of them. A process whose
partner is gone gets an error from its next collective operation, but waits for half an hour where the processes have
not met yet, where a whole machine is gone, or where a GPU waits. So every process also watches: the first one its
children, a child its parent, be it torchrun, and each one the signs of life from other machines.

The first process of a machine reports. Another one with an error therefore waits a moment before it ends: where the
first process has the same error, it or torchrun ends the others, and the error is reported once.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.training.checkpoint import command_to_resume
from mm_lightning.training.processes.pulse import Pulse
from mm_lightning.training.run_folders import newest_checkpoint
from mm_lightning.training.stop_signals import REPORT_SECONDS, Stopped

_PARENT = "MM_LIGHTNING_FIRST_PROCESS"  # variable with the number of the first process, which may end before a child
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 15  # for a process to end by itself after the loss of another one


def use_launcher(strategy: Strategy) -> None:
    """Let the processes of a strategy end together, whoever has started them."""
    launcher = strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher):
        strategy._launcher = Launcher(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)


class Launcher(_SubprocessScriptLauncher):
    """Lightning's launcher of child processes, extended: the processes end together, and one of them reports."""

    def __init__(self, environment: ClusterEnvironment, num_processes: int, num_nodes: int) -> None:
        super().__init__(environment, num_processes, num_nodes)
        self._rank = environment.local_rank()
        self._first_rank = environment.node_rank() * num_processes  # of this machine
        self._is_child = bool(self._rank) and _PARENT in os.environ  # of the first process
        self._is_watching_parent = self._is_child or isinstance(environment, TorchElasticEnvironment)
        self._parent = int(os.environ[_PARENT]) if self._is_child else os.getppid()
        self._pulse: Pulse | None = None
        self._run_folder: Path | None = None
        self._has_ended = threading.Event()

    @override
    def launch(
        self, function: Callable[..., Any], *args: Any, trainer: "pl.Trainer | None" = None, **kwargs: Any
    ) -> Any:
        """Start the other processes and call the function, in this process and in the others.

        Raises:
            UserError: If another process ended too early.
        """
        self._run_folder = getattr(trainer, "run_folder", None)
        if self._rank == 0:
            os.environ[_PARENT] = str(os.getpid())
        return super().launch(self._call, torch.get_num_threads(), function, *args, **kwargs)

    def _call(self, num_threads: int, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        torch.set_num_threads(min(num_threads, torch.get_num_threads()))  # Lightning has shared out all cores
        # Lightning's own watch of this list kills the first process without a word; it ends where the list is empty
        watched, self.procs = self.procs, list(self.procs)
        watched.clear()
        self._has_ended.clear()
        if self.num_nodes > 1:
            has_store = isinstance(self.cluster_environment, TorchElasticEnvironment)
            self._pulse = Pulse(self._first_rank + self._rank, self._world_size, has_store)
        is_done = False
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            result = function(*args, **kwargs)
            is_done = True
            return result
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._has_ended.set()
            if self._pulse is not None:
                self._pulse.end(is_done)

    def _end(self, error: BaseException) -> None:
        """End the other processes after an error, and report the loss of another process as such.

        Raises:
            UserError: If the error is the loss of another process.
            SystemExit: In another process than the first, if that one reports.
        """
        is_loss = _is_loss(error)
        if isinstance(error, Stopped):  # all processes have stopped together
            self._kill_children()
            return
        if self._rank:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # of torchrun, after another process has failed
        deadline = time.monotonic() + REPORT_SECONDS
        while (self._rank or is_loss) and time.monotonic() < deadline and self._loss() is None:
            time.sleep(_POLL_SECONDS / 10)
        loss = self._loss() or "another process of the run ended"
        self._kill_children()
        if is_loss and not self._is_reporter:
            sys.exit(1)
        if is_loss:
            raise UserError(f"{loss}{self._remedy}") from None

    def _watch(self) -> None:
        """End this process if another one has ended, and this one has not noticed."""
        while not self._has_ended.wait(_POLL_SECONDS):
            if self._loss() is None or self._has_ended.wait(_GRACE_SECONDS):
                continue
            if (loss := self._loss()) is not None:  # still, where a machine was asleep
                self._kill_children()
                if self._is_reporter:
                    sys.stderr.write(f"error: {loss}{self._remedy}\n")
                    sys.stderr.flush()
                os._exit(1)

    def _loss(self) -> str | None:
        """The process that ended too early, in words; None while there is none."""
        if self._is_watching_parent and os.getppid() != self._parent:
            name = f"process {self._first_rank} of {self._world_size}" if self._is_child else "torchrun"
            return f"{name} ended too early"
        if self._pulse is not None and (silent := self._pulse.silent_rank()) is not None:
            return f"process {silent} of {self._world_size} gives no sign of life"
        ended = [(status, rank) for rank, process in enumerate(self.procs, 1) if (status := process.poll())]
        if not ended:
            return None
        status, rank = min(ended)  # a killed process first: others end because they have lost it
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"process {self._first_rank + rank} of {self._world_size} {how}"

    @property
    def _is_reporter(self) -> bool:
        """Whether this process reports: the machine's first one, or its second one after the end of their parent."""
        return self._rank == 0 or (self._rank == 1 and self._is_child and os.getppid() != self._parent)

    @property
    def _world_size(self) -> int:
        return self.num_processes * self.num_nodes

    @property
    def _remedy(self) -> str:
        """The command to go on, if there is a checkpoint; only the first process knows the run folder."""
        if self._rank or self._first_rank:
            return "; a checkpoint of the run, if there is one, is whole: go on with --ckpt_path last"
        path = newest_checkpoint(self._run_folder)
        return "" if path is None else f"; go on with: {command_to_resume(path)}"

    def _kill_children(self) -> None:
        for process in self.procs:
            process.kill()


def _is_loss(error: BaseException) -> bool:
    """Whether a collective operation failed; gloo reports a closed connection as a plain RuntimeError."""
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
