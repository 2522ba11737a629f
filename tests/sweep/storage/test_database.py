"""Studies in PostgreSQL: workers that are killed or pause, other studies, and the password."""

import os
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from database_cases import PASSWORD, hang, hasten, load, wait_for_trials
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from run_command import Command, run
from sqlalchemy.engine import make_url
from sweep_cases import HIDDEN, RATE, list_files, trial_lines

from mm_lightning import UserError
from mm_lightning.sweep.storage import database as database_module
from mm_lightning.sweep.storage.opening import open_store
from mm_lightning.sweep.study import Outcome, Study

POINTS = list(range(4, 10))


@pytest.fixture
def start(plan, database, tmp_path):
    """Starts a worker's study, in a folder of its own."""
    stores = []

    def make(folder="a", tell=pytest.fail, storage=database, **options):
        planned = plan(storage=storage, **options)
        stores.append(open_store(tmp_path / folder, storage, planned.name))
        return Study(planned, tmp_path / folder, stores[-1], max_steps=40, tell=tell)

    yield make
    for store in stores:
        store.close()


def complete(study, trial, loss=1.0):
    study.finish(trial, Outcome(TrialState.COMPLETE, loss))


def test_killed_workers_lose_no_trial(sweep, database, tmp_path):
    """Catches a trial of a killed worker that is lost, done twice or for ever running, and a total that is not kept."""
    command = sweep({HIDDEN: {"choice": POINTS}}, sampler="grid", trials=None, storage=database)
    folders = [tmp_path / name for name in "abc"]  # as on three machines
    for folder in folders:
        folder.mkdir()
        for name in ("search.yaml", "base.yaml", "words.txt"):
            (folder / name).symlink_to(tmp_path / name)
    workers = [Command(*command, cwd=folder, prepare=hang) for folder in folders[:2]]
    wait_for_trials(database, 2)
    workers.append(Command(*command, cwd=folders[2], prepare=hasten))
    wait_for_trials(database, 3)
    for worker in workers[:2]:
        os.kill(worker.process.pid, signal.SIGKILL)
    results = [worker.wait() for worker in workers]
    assert [result.returncode for result in results] == [-signal.SIGKILL, -signal.SIGKILL, 0], results[2].stderr
    assert results[2].stdout.startswith("search: 6 of 6 trials are done: 6 complete\n")
    trials = load(database)
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert sorted(trial.params[HIDDEN] for trial in complete) == POINTS
    assert [trial.state for trial in trials if trial not in complete] == [TrialState.FAIL] * 2
    assert results[2].stderr.count("was cut short: its worker gives no sign of life") == 2
    rows = {path.name for path in folders[2].rglob("trial_*")}
    assert rows == {f"trial_{trial.number}" for trial in complete}, "the folder has the results of all workers"


def test_a_worker_that_wakes_up_does_not_count_twice(start, monkeypatch):
    """Catches two results of one trial, where its worker only slept, and the result of the first of both."""
    told = []
    sleeper, other = start("a", trials=1), start("b", tell=told.append, trials=1)
    trial = sleeper.next_trial()
    monkeypatch.setattr(database_module, "SILENCE_SECONDS", -1)
    again = other.next_trial()
    assert again.params == trial.params
    assert told == ["trial 0 was cut short: its worker gives no sign of life; its parameters are tried again"]
    monkeypatch.undo()
    with pytest.raises(UpdateFinishedTrialError):
        sleeper.report(trial, 10, 0.5)
    with pytest.raises(UpdateFinishedTrialError):
        complete(sleeper, trial, 0.5)
    sleeper.give_back(trial)
    complete(other, again, 2.0)
    assert [(trial.number, trial.value) for trial in sleeper.trials] == [(1, 2.0)]
    assert sleeper.next_trial() is None


def test_workers_can_start_at_once(database, tmp_path):
    """Catches a worker that ends because another one makes the same tables in a new database."""
    barrier = threading.Barrier(4)

    def open_database(number):
        barrier.wait()
        store = open_store(tmp_path / str(number), database, "search")
        with store.lock, store.lock:
            pass
        store.close()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(open_database, range(4))) == [None] * 4


def test_a_trial_without_a_heartbeat_is_tried_again(start, monkeypatch):
    """Catches a trial that runs for ever, as its worker was killed before its first sign of life."""
    killed, other = start("a"), start("b", tell=lambda line: None)
    with monkeypatch.context() as patched:
        patched.setattr(database_module.DatabaseStore, "claim", lambda store, number: None)
        trial = killed.next_trial()
    assert killed.heartbeats() == {0: None}
    assert other.next_trial().params == trial.params


def test_a_living_worker_keeps_its_trial(start, monkeypatch):
    """Catches heartbeats that end, or that another time zone shifts."""
    monkeypatch.setattr(database_module, "HEARTBEAT_SECONDS", 0.05)
    monkeypatch.setattr(database_module, "SILENCE_SECONDS", 2)
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    first = start("a")
    trial = first.next_trial()
    monkeypatch.setenv("PGTZ", "America/New_York")
    second = start("b")
    time.sleep(2.3)
    before = second.heartbeats()
    other = second.next_trial()
    assert other.number == 1
    time.sleep(0.2)
    assert second.heartbeats()[0] > before[0]
    complete(first, trial)
    complete(second, other)
    assert second.heartbeats() == {}


def test_a_closed_study_leaves_no_connection(plan, database, monkeypatch, tmp_path):
    """Catches the connection of a heartbeat that was under way, which ends with a warning at another place."""
    monkeypatch.setattr(database_module, "HEARTBEAT_SECONDS", 0.01)
    store = open_store(tmp_path / "a", database, "search")
    study = Study(plan(storage=database), tmp_path / "a", store, max_steps=40, tell=pytest.fail)
    connected = threading.Event()

    def beat(storage, trial_id):
        with storage.engine.connect():
            connected.set()
            time.sleep(0.3)
        connected.clear()

    study.next_trial()
    monkeypatch.setattr(RDBStorage, "record_heartbeat", beat)
    assert connected.wait(10)
    store.close()
    assert not connected.is_set()


def test_a_database_gives_the_trials_of_a_file(start, database):
    """Catches proposals or a count that depend on the place of the study."""

    def work(storage):
        study = start(storage if storage == "journal" else "a", storage=storage, trials=15)
        study.give_back(study.next_trial())
        while (trial := study.next_trial()) is not None:
            complete(study, trial, trial.params[HIDDEN] * trial.params[RATE])
        return [(trial.number, trial.params, trial.value) for trial in study.finished]

    assert work("journal") == work(database)


def test_another_study_is_refused(start, database, drop, tmp_path):
    """Catches results of two studies in one folder, and trials that cannot be compared."""
    start("a")
    with pytest.raises(UserError, match=r"study in postgresql://tester@/d\w+ began with fixed data.batch_size: None"):
        start("b", fixed={"data.batch_size": 6})
    start("files", storage="journal")
    with pytest.raises(UserError, match=r"storage is a database, but the study in .*files is kept in journal; set"):
        start("files")
    with pytest.raises(UserError, match=r"storage is journal, but .*a is kept in a database; give the URL of the"):
        start("a", storage="journal")
    for path in tmp_path.rglob("study.id"):
        path.write_text("of a database that was dropped")
    with pytest.raises(UserError, match="a holds the results of another study than search in postgresql://tester@"):
        start("a")


def test_a_lost_database_is_one_line(sweep, database, drop, tmp_path):
    """Catches a traceback of three libraries where a database is lost in the middle of a trial."""
    slow = {"trainer.max_steps": 100_000, "trainer.val_check_interval": 500, "trainer.check_val_every_n_epoch": None}
    worker = Command(*sweep(fixed=slow, storage=database), cwd=tmp_path, prepare=hasten)
    wait_for_trials(database, 1)
    drop(database)
    result = worker.wait()
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    name = make_url(database).database
    assert result.stderr.startswith(f"error: the study in postgresql://tester@/{name} cannot be used (")
    assert "); see that the database runs; finished trials are kept, and the same command goes on\n" in result.stderr


def test_the_password_stays_where_it_was_given(sweep, database, tmp_path):
    """Catches a password in a file of results, in a log, or in the command that goes on."""
    command = (*sweep(trials=2), "--storage", database)
    done = run(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(trial_lines(done)) == 2
    stopped = Command(*command, "--trials", 1000, cwd=tmp_path)
    wait_for_trials(database, 3, "COMPLETE")
    os.kill(stopped.process.pid, signal.SIGINT)
    end = stopped.wait()
    assert end.returncode == 130
    assert re.search(r"go on with: .* --storage 'postgresql://tester:\*\*\*@/d\w+\?host=", end.stderr)
    assert {"lightning_sweeps/search/best.yaml", "lightning_sweeps/search/study.id"} <= {*list_files(tmp_path)}
    texts = [done.stdout, done.stderr, end.stdout, end.stderr]
    texts += [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    for secret in (PASSWORD, make_url(database).render_as_string(False).partition("tester:")[2].partition("@")[0]):
        assert not any(secret in text for text in texts)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"password": "wr0ng"}, 'password authentication failed for user "tester"'),
        ({"database": "absent"}, 'database "absent" does not exist'),
    ],
)
def test_a_refused_login_is_one_line(sweep, database, tmp_path, change, reason):
    """Catches a traceback, a password in the error, and a folder made in vain."""
    url = make_url(database).set(**change).render_as_string(hide_password=False)
    command = sweep(storage=url)
    before = list_files(tmp_path)
    result = run(*command, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1, result.stderr
    assert reason in result.stderr
    assert result.stderr.endswith("check the URL, and that the database runs\n")
    assert "wr0ng" not in result.stderr
    assert list_files(tmp_path) == before
