"""Signs of life of processes in the store through which they have met."""

import time
from datetime import timedelta
from itertools import repeat

import pytest
from torch.distributed import TCPStore

from mm_lightning.training.processes import pulse
from mm_lightning.training.processes.pulse import Pulse

SILENT_SECONDS = 0.5


@pytest.fixture
def store(monkeypatch):
    """The store of processes that have met; the test has two of them in one."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=5))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: True)
    monkeypatch.setattr(pulse, "_BEAT_SECONDS", 0.02)
    monkeypatch.setattr(pulse, "_SILENT_SECONDS", SILENT_SECONDS)
    monkeypatch.setattr(pulse, "_LAUNCHES", repeat(0))
    return store


def heard(pulse, seconds):
    """What a process has heard of the others, within a time."""
    deadline = time.monotonic() + seconds
    while pulse.silent_rank() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return pulse.silent_rank()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("is_done", "silent"), [(False, 1), (True, None)])
def test_only_a_process_that_has_not_done_its_work_is_missed(is_done, silent):
    """Catches a lost machine that nobody notices, and a run ended because a process was ready first."""
    first, second = Pulse(0, 2), Pulse(1, 2)
    try:
        assert heard(first, 2 * SILENT_SECONDS) is None
        second.end(is_done)
        assert heard(first, 6 * SILENT_SECONDS if silent else 2 * SILENT_SECONDS) == silent
    finally:
        first.end(True)
        second.end(True)


@pytest.mark.parametrize("has_store", [True, False])
@pytest.mark.usefixtures("store")
def test_a_process_that_dies_before_all_have_met_is_missed(monkeypatch, has_store):
    """Catches a process that waits for half an hour at the start, and one that wants a store which is not there yet."""
    monkeypatch.setattr("torch.distributed.is_initialized", lambda: False)
    monkeypatch.setattr(pulse, "_START_SECONDS", SILENT_SECONDS)
    first = Pulse(0, 2, has_store)
    try:
        assert heard(first, 6 * SILENT_SECONDS if has_store else 2 * SILENT_SECONDS) == (1 if has_store else None)
    finally:
        first.end(True)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("has_store", [True, False])
def test_a_process_that_is_gone_once_all_have_met_is_missed_soon(has_store):
    """Catches minutes of waiting for a process that was lost before its first sign of life was heard."""
    second = Pulse(1, 2, has_store)
    try:
        assert heard(second, 6 * SILENT_SECONDS) == 0
    finally:
        second.end(True)
