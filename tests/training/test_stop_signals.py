"""Stop signals: a flag, an exception for the second one, and handlers given back."""

import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from mm_lightning.training.callbacks import LastCheckpoint
from mm_lightning.training.stop_signals import Stopped, StopSignals, stop_at_once


@pytest.fixture
def signals():
    """Stop signals that listen; the handlers from before are restored at the end."""
    before = {signum: signal.getsignal(signum) for signum in (signal.SIGINT, signal.SIGTERM)}
    result = StopSignals()
    result.listen()
    yield result
    result.restore()
    assert {signum: signal.getsignal(signum) for signum in before} == before


@pytest.mark.parametrize(("signum", "name"), [(signal.SIGINT, "SIGINT"), (signal.SIGTERM, "SIGTERM")])
def test_the_first_signal_waits(signals, signum, name):
    """Catches a signal that interrupts a step, and one that is lost."""
    signals.check()
    os.kill(os.getpid(), signum)
    assert signals.signum == signum
    with pytest.raises(Stopped, match=f"^stopped by {name}$") as caught:
        signals.check()
    assert caught.value.signum == signum


def test_the_second_signal_stops_at_once(signals):
    """Catches a user who cannot stop a step that hangs."""
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Stopped) as caught:
        os.kill(os.getpid(), signal.SIGTERM)
    assert caught.value.signum == signal.SIGTERM
    assert caught.value.checkpoint is None


def test_listening_again_keeps_the_first_handlers(signals):
    """Catches handlers of a library, set in between, that stay after the work is done."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signals.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.signum == signal.SIGTERM


class Deleted:
    """An object whose deletion meets a signal, as that of Lightning's profiler does."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.usefixtures("signals")
def test_a_signal_during_a_deletion_is_not_lost(monkeypatch):
    """Catches a command that goes on for hours, since Python drops what a `__del__` raises."""
    monkeypatch.setattr("sys.unraisablehook", None)
    stop_at_once()
    Deleted()
    with pytest.raises(Stopped, match="stopped by SIGTERM"):
        time.sleep(10)


def test_no_handler_of_errors_swallows_a_stop():
    """Catches a run that goes on after the second signal, since a library caught the first exception."""
    assert not issubclass(Stopped, Exception)


def test_the_message_says_where_training_stopped():
    """Catches a message without the step from which training goes on."""
    stop = Stopped(signal.SIGTERM, steps=7, checkpoint=Path("last.ckpt"))
    assert str(stop) == "stopped by SIGTERM after 7 steps"
    assert stop.checkpoint == Path("last.ckpt")


@pytest.mark.parametrize(
    ("own", "are_others_stopping", "expected"),
    [(signal.SIGINT, True, signal.SIGINT), (None, True, signal.SIGTERM), (signal.SIGINT, False, None)],
)
def test_ranks_stop_together(own, are_others_stopping, expected):
    """Catches a rank that stops alone, while the others wait for it in the next step."""
    saved = []
    progress = SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(ready=7)))
    trainer = SimpleNamespace(
        world_size=2,
        strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: are_others_stopping),
        fit_loop=SimpleNamespace(epoch_loop=progress),
        accumulate_grad_batches=1,
        is_last_batch=False,
        loggers=[],
        global_step=7,
        is_global_zero=True,
        save_checkpoint=lambda path, weights_only: saved.append(path),
    )
    last = LastCheckpoint()
    last._signals.signum = own
    with nullcontext() if expected is None else pytest.raises(Stopped) as caught:
        last.between_steps(trainer)
    assert saved == ([] if expected is None else [last.path])
    assert expected is None or caught.value.signum == expected
