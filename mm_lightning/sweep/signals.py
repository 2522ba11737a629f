"""Signals that ask a sweep to stop."""

import signal
from types import FrameType


class Halted(Exception):  # noqa: N818 # an event, not an error
    """A signal asks the sweep to stop.

    Args:
        signum: The signal.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


class Signals:
    """SIGINT and SIGTERM, which wait for the end of the steps at hand; a second one does not."""

    def __init__(self) -> None:
        self._signum: int | None = None

    def listen(self) -> None:
        """Take the signals from whoever has them."""
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, self._on_signal)

    def check(self) -> None:
        """Raise `Halted` if there was one."""
        if self._signum is not None:
            raise Halted(self._signum)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._signum is not None:
            raise Halted(signum)
        self._signum = signum
