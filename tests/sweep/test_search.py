"""The search: results of trials are recorded, bugs stop it."""

import re
from types import SimpleNamespace

import pytest

from mm_lightning import UserError
from mm_lightning.sweep import trials
from mm_lightning.sweep.search import search
from mm_lightning.training.stop_signals import Stopped, StopSignals


@pytest.fixture
def train(monkeypatch):
    """Replaces the fit of a trial by outcomes in turn: losses, errors that it raises, or functions that make one."""
    monkeypatch.setattr(trials, "check", lambda plan: SimpleNamespace(default_root_dir=".", max_steps=40))

    def replace(*outcomes):
        rest = list(outcomes)

        def fake(settings, report, signals):
            outcome = rest.pop(0)
            if callable(outcome):
                outcome = outcome()
            if isinstance(outcome, BaseException):
                raise outcome
            report(40, outcome)
            return outcome

        monkeypatch.setattr(trials, "train", fake)

    return replace


def run_search(plan):
    lines = []
    search(plan, StopSignals(), lines.append)
    return lines


def test_refused_settings_are_a_result(plan, train, tmp_path):
    """Catches a search that one trial ends, and an error of torch whose traceback cannot be found."""
    train(UserError("train/loss became nan by step 7"), RuntimeError("shapes\ncannot be multiplied"), 2.0, 3.0)
    lines = run_search(plan())
    assert "failed: train/loss became nan by step 7; hidden_dim" in lines[0]
    path = re.search(r"failed: shapes cannot be multiplied \(traceback: (.*)\); hidden_dim", lines[1])[1]
    assert "RuntimeError: shapes\ncannot be multiplied\n" in (tmp_path / path).read_text()
    assert "raise outcome" in (tmp_path / path).read_text()
    assert "val/loss 2.0000, best 2.0000 (trial 2)" in lines[2]
    assert not list(tmp_path.rglob("trial_0_error.txt"))


@pytest.mark.parametrize("bug", [TypeError("bug"), AssertionError("bug"), OSError(28, "No space left on device")])
def test_a_bug_stops_the_search_and_its_trial_is_tried_again(plan, train, bug):
    """Catches a bug recorded as a failure of every trial's settings, without a traceback."""
    train(2.0, bug)
    with pytest.raises(type(bug)) as caught:
        run_search(plan())
    assert caught.value is bug
    note = caught.value.__notes__[0]
    assert note.startswith("trial 1: {'model.network.init_args.hidden_dim': ")
    train(1.0, 1.0, 1.0)
    lines = run_search(plan())
    assert [line.partition(":")[0] for line in lines] == [f"trial {n}, {n} of 4" for n in (2, 3, 4)]
    hidden = re.search(r"hidden_dim': (\d+)", note)[1]
    assert f"hidden_dim {hidden}, " in lines[0]


def test_a_fault_of_the_base_stops_the_search_and_its_trial_is_tried_again(plan, train, words):
    """Catches a search that spends all its trials, and is done, while its data are gone."""

    def lose_the_data():
        words.rename("moved.txt")
        return UserError("words.txt: no such file")

    train(2.0, lose_the_data)
    with pytest.raises(UserError) as caught:
        run_search(plan())
    assert re.fullmatch(
        r"base base\.yaml: words\.txt: no such file; .*, and the same command goes on", str(caught.value)
    )
    words.with_name("moved.txt").rename(words)
    train(1.0, 1.0, 1.0)
    assert [line.partition(":")[0] for line in run_search(plan())] == [f"trial {n}, {n} of 4" for n in (2, 3, 4)]


def test_a_worker_without_a_trial_says_who_has_it(plan, train, capsys):
    """Catches a traceback of the second of two workers on one trial, and an error while the trial still runs."""

    def start_another_worker():
        assert run_search(plan(trials=1)) == []
        assert capsys.readouterr().out == (
            "search: 0 of 1 trials are done: 1 running elsewhere\n\n"
            "no trial is complete yet; other workers train trial 0\n"
        )
        return 2.0

    train(start_another_worker)
    assert "val/loss 2.0000" in run_search(plan(trials=1))[0]


def test_weighted_losses_are_named(plan, train, capsys):
    """Catches a table of losses that are weighted by a column without a word."""
    train(2.0)
    run_search(plan({"data.weight": "births"}, trials=1))
    assert "trial  val/loss weighted by births  hidden_dim" in capsys.readouterr().out


def test_a_stop_signal_keeps_finished_trials(plan, train):
    """Catches a stopped trial recorded as a failure."""
    train(2.0, Stopped(2))
    with pytest.raises(Stopped):
        run_search(plan())
    train(1.0, 3.0, 3.0)
    lines = run_search(plan())
    assert len(lines) == 3
    assert "best 1.0000 (trial 2)" in lines[-1]


def test_without_a_complete_trial_there_is_no_config(plan, train, tmp_path):
    """Catches a best.yaml of a trial that diverged."""
    train(UserError("train/loss became nan"), UserError("val/loss became inf"))
    with pytest.raises(UserError, match="no trial was completed; the last is trial 1, 2 of 2: failed: val/loss became"):
        run_search(plan(trials=2))
    assert not list(tmp_path.rglob("best.yaml"))
