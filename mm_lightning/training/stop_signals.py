"""Stop signals: the first SIGINT or SIGTERM stops at the end of a step, a second one at once.

At the end of a step the state is complete and can be saved.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

REPORT_SECONDS = 5  # for the first of several processes, or torchrun, to end a process that failed in the same way
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SECONDS_TO_REPEAT = 0.05  # from a signal that Python has dropped to its repetition: more than the rest of a `__del__`


class Stopped(BaseException):
    """Exception of work that a stop signal has ended.

    The base class is `BaseException`, as for `KeyboardInterrupt`, so that no handler of errors catches the signal.

    Args:
        signum: The signal.
        steps: Optimiser steps done when the state was saved; None if nothing was saved.
        checkpoint: File of the saved state; None if nothing was saved.
    """

    def __init__(self, signum: int, steps: int | None = None, checkpoint: Path | None = None) -> None:
        after = "" if steps is None else f" after {steps} steps"
        super().__init__(f"stopped by {signal.Signals(signum).name}{after}")
        self.signum = signum
        self.checkpoint = checkpoint


def stop_at_once() -> None:
    """Raise `Stopped` at SIGINT or SIGTERM, where nothing is left to be finished: while a command starts, or reads."""
    for signum in _STOP_SIGNALS:
        signal.signal(signum, _raise_stopped)
    sys.unraisablehook = _repeat_stopped


def _raise_stopped(signum: int, frame: FrameType | None) -> None:
    raise Stopped(signum)


def _repeat_stopped(unraisable: "UnraisableHookArgs") -> None:
    """Send a stop signal once more, since Python drops what is raised while an object is deleted."""
    if not isinstance(unraisable.exc_value, Stopped):
        sys.__unraisablehook__(unraisable)
        return
    # from a thread: a handler that ran now would raise in this hook, where Python drops it again
    again = threading.Timer(_SECONDS_TO_REPEAT, os.kill, (os.getpid(), unraisable.exc_value.signum))
    again.daemon = True
    again.start()


class StopSignals:
    """Record of the first SIGINT or SIGTERM, which the owner of this object checks at the end of a step.

    A second signal raises `Stopped` at once.
    """

    def __init__(self) -> None:
        self.signum: int | None = None  # of the first signal
        self._replaced_handlers: dict[int, Any] = {}

    def listen(self) -> None:
        """Handle both signals; call again where a library has set handlers of its own.

        Python lets only the main thread handle signals, so a fit in another thread leaves them alone.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in _STOP_SIGNALS:
            handler = signal.signal(signum, self._on_signal)
            self._replaced_handlers.setdefault(signum, handler)

    def restore(self) -> None:
        """Restore the handlers from before the first `listen`."""
        for signum, handler in self._replaced_handlers.items():
            signal.signal(signum, handler)
        self._replaced_handlers.clear()

    def check(self) -> None:
        """Raise `Stopped` if a signal has arrived."""
        if self.signum is not None:
            raise Stopped(self.signum)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is not None:
            raise Stopped(signum)
        self.signum = signum
