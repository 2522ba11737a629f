"""The processes of a run on several devices: where one ends too early, all end, with one line on stderr.

The first process starts the others as its children. A process whose partner is gone gets an error from its next
collective operation, but waits for half an hour where the processes have not met yet. So every process also watches:
the first one its children, a child its parent.

The first process reports. A child with an error therefore waits a moment before it ends: where the first process has
the same error, it kills its children, and the error is reported once.
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
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.strategies.launchers import _SubprocessScriptLauncher
from torch import Tensor
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.training.run_folders import newest_checkpoint

_PARENT = "MM_LIGHTNING_FIRST_PROCESS"  # variable with the number of the first process, which may end before a child
_POLL_SECONDS = 0.5
_REPORT_SECONDS = 5  # for the first process to kill a child that failed in the same way
_GRACE_SECONDS = 15  # for a process to end by itself after the loss of another one


def over_processes(trainer: pl.Trainer, value: Tensor, operation: str) -> Tensor:
    """Compute the `sum` or the `mean` of a float64 tensor of the CPU over all processes."""
    if trainer.world_size == 1:
        return value  # on its device, which can lack float64
    return trainer.strategy.reduce(value.to(trainer.strategy.root_device), reduce_op=operation).cpu()


def use_launcher(strategy: Strategy) -> None:
    """Let processes that Lightning starts for a strategy end together."""
    launcher = strategy.launcher
    if isinstance(launcher, _SubprocessScriptLauncher) and isinstance(
        launcher.cluster_environment, LightningEnvironment
    ):
        strategy._launcher = Launcher(launcher.cluster_environment, launcher.num_processes, launcher.num_nodes)


class Launcher(_SubprocessScriptLauncher):
    """Lightning's launcher of child processes, extended: the processes end together, and one of them reports."""

    def __init__(self, environment: LightningEnvironment, num_processes: int, num_nodes: int) -> None:
        super().__init__(environment, num_processes, num_nodes)
        self._rank = environment.local_rank()
        self._parent = int(os.environ.get(_PARENT, os.getppid())) if self._rank else os.getppid()
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
        return super().launch(self._call, function, *args, **kwargs)

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        # Lightning's own watch of this list kills the first process without a word; it ends where the list is empty
        watched, self.procs = self.procs, list(self.procs)
        watched.clear()
        self._has_ended.clear()
        threading.Thread(target=self._watch, daemon=True).start()
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            self._end(error)
            raise
        finally:
            self._has_ended.set()

    def _end(self, error: BaseException) -> None:
        """End the other processes after an error, and report the loss of another process as such.

        Raises:
            UserError: If the error is the loss of another process.
            SystemExit: In a child, if the first process or another child reports.
        """
        is_loss = _is_loss(error)
        deadline = time.monotonic() + _REPORT_SECONDS
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
            loss = self._loss()
            if loss is not None and not self._has_ended.wait(_GRACE_SECONDS):
                self._kill_children()
                if self._is_reporter:
                    sys.stderr.write(f"error: {loss}{self._remedy}\n")
                    sys.stderr.flush()
                os._exit(1)

    def _loss(self) -> str | None:
        """The process that ended too early, in words; None while there is none."""
        if self._rank and os.getppid() != self._parent:
            return f"process 0 of {self.num_processes} ended too early"
        ended = [(status, rank) for rank, process in enumerate(self.procs, 1) if (status := process.poll())]
        if not ended:
            return None
        status, rank = min(ended)  # a killed process first: others end because they have lost it
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return f"process {rank} of {self.num_processes} {how}"

    @property
    def _is_reporter(self) -> bool:
        """Whether this process reports: the first one, or the second one after the end of the first."""
        return self._rank == 0 or (self._rank == 1 and os.getppid() != self._parent)

    @property
    def _remedy(self) -> str:
        """The command to go on, if there is a checkpoint; only the first process knows the run folder."""
        if self._rank:
            return "; a checkpoint of the run, if there is one, is whole: go on with --ckpt_path last"
        path = newest_checkpoint(self._run_folder)
        return "" if path is None else f"; go on with: python -m mm_lightning fit --ckpt_path {os.path.relpath(path)}"

    def _kill_children(self) -> None:
        for process in self.procs:
            process.kill()


def _is_loss(error: BaseException) -> bool:
    """Whether a collective operation failed; gloo reports a closed connection as a plain RuntimeError."""
    return isinstance(error, torch.distributed.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))
