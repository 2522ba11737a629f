"""What several tests of studies in a database share."""

import time
from contextlib import suppress

import optuna
import psycopg
import pytest
from optuna.storages import RDBStorage

from mm_lightning.sweep import trials
from mm_lightning.sweep.storage import database

PASSWORD = "se{c}r@t/%:1"  # all that has a meaning in a URL or a template


def hasten():
    """Let workers notice killed ones within seconds."""
    database.HEARTBEAT_SECONDS, database.SILENCE_SECONDS = 0.2, 3.0


def hang():
    """Let a worker stay in the middle of its first trial, alive."""
    hasten()
    trials._TrialCallback.on_train_batch_end = lambda *_: time.sleep(600)


def load(url):
    """Trials of the study "search"."""
    storage = RDBStorage(url.replace("postgresql:", "postgresql+psycopg:").replace("{", "{{"))
    try:
        return optuna.load_study(study_name="search", storage=storage).trials
    finally:
        storage.engine.dispose()


def wait_for_trials(url, count, states="RUNNING"):
    """Wait until so many trials are in one of the states, which are separated by blanks."""
    deadline = time.monotonic() + 60
    query = "SELECT count(*) FROM trials WHERE state::text = ANY(%s)"
    with psycopg.connect(url, autocommit=True) as connection:
        while time.monotonic() < deadline:
            with suppress(psycopg.errors.UndefinedTable):  # no worker has made it yet
                if connection.execute(query, [states.split()]).fetchone()[0] >= count:
                    return
            time.sleep(0.05)
    pytest.fail(f"{count} trials are not reached")
