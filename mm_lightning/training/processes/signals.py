"""SIGTERM in the commands that do not train."""

import signal
import threading
from typing import Any

import lightning.pytorch as pl
from typing_extensions import override


class OwnSigterm(pl.Callback):
    """Callback that puts the handler of SIGTERM back, which Lightning replaces when a run begins.

    Lightning's handler sends a message to all processes. Where another process waits for a message of the work, it
    takes the one for the other, and both wait forever. A fit has handlers of its own.
    """

    def __init__(self) -> None:
        self._handler: Any = None

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Remember the handler; Lightning has not replaced it yet."""
        self._handler = signal.getsignal(signal.SIGTERM)

    def _put_back(self) -> None:
        if threading.current_thread() is threading.main_thread() and self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)

    @override
    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back()

    @override
    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back()

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._put_back()
