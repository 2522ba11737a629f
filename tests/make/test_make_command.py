"""The make command, as a user runs it."""

import os
import random
import signal
import threading
from pathlib import Path
from unittest.mock import Mock

import pytest
from run_command import run

from mm_lightning.data.items import Items
from mm_lightning.make import command, model
from mm_lightning.make.earlier import Earlier
from mm_lightning.training.stop_signals import Stopped

WORDS = sorted({"".join(random.Random(i).choices(["ba", "lo", "ki", "ren"], k=2 + i % 3)) for i in range(60)})[:40]


COUNTS = ("--num_samples", "12", "--minutes", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a list, learned by counts."""
    folder = tmp_path_factory.mktemp("make")
    (folder / "words.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.fixture(scope="module")
def first(folder: Path) -> str:
    """Stdout of the first call."""
    result = run("make", "words.txt", *COUNTS, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "chosen: counts" in result.stderr
    assert len(result.stderr.splitlines()) + len(result.stdout.splitlines()) <= 40
    return str(result.stdout)


def open_stdin() -> None:
    """Read stdin from the file `typed`."""
    os.dup2(os.open("typed", os.O_RDONLY), 0)


def checkpoint(folder: Path) -> Path:
    (path,) = folder.glob("lightning_logs/make/words-*/checkpoints/best.ckpt")
    return path


def test_items_are_new_and_different(folder: Path, first: str):
    """Catches items of the list, repeats, and anything else on stdout."""
    items = first.splitlines()
    assert len(items) == len(set(items)) == 12
    assert not set(items) & set(WORDS)
    assert all(4 <= len(item) <= max(map(len, WORDS)) for item in items)
    assert set("".join(items)) <= set("".join(WORDS))


def test_later_calls_learn_no_more_and_make_other_items(folder: Path, first: str):
    """Catches a list that is learned again, a seed that is always the same, and a seed that is ignored."""
    before = checkpoint(folder).stat().st_mtime_ns
    again = [run("make", "words.txt", *COUNTS, *seed, cwd=folder) for seed in ((), ("--seed", "5"))]
    assert checkpoint(folder).stat().st_mtime_ns == before
    assert "chosen: counts" in again[0].stderr
    assert again[0].stdout != first
    assert "the same command makes other items" in again[0].stderr
    assert "seed 5; these take the model further:" in again[1].stderr
    repeated = run("make", "words.txt", *COUNTS, "--seed=5", cwd=folder)
    assert repeated.stdout == again[1].stdout


def test_a_list_that_has_moved_keeps_its_model(folder: Path, first: str, tmp_path: Path):
    """Catches items that are held against the file in its former place, which is gone or has other items."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a/words.txt").write_bytes((folder / "words.txt").read_bytes())
    assert run("make", "a/words.txt", *COUNTS, cwd=tmp_path).returncode == 0
    (tmp_path / "a").rename(tmp_path / "b c")
    result = run("make", "b c/words.txt", *COUNTS, "--seed", "5", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert not set(result.stdout.split()) & set(WORDS)


def test_other_commands_take_the_checkpoint(folder: Path, first: str):
    """Catches a checkpoint that lacks a part, and a loss over items that were learned."""
    path = str(checkpoint(folder))
    scored = run("score", "baloki", "--ckpt_path", path, cwd=folder)
    assert "baloki" in scored.stdout, scored.stderr
    quality = run("quality", "--ckpt_path", path, "--num_samples", "50", cwd=folder)
    assert quality.stdout.splitlines()[1].split()[:2] == ["model", "50"], quality.stderr
    validated = run("validate", "--ckpt_path", path, cwd=folder)
    assert validated.returncode == 1
    assert validated.stderr.splitlines()[-1].startswith("error: data.split is all, which holds nothing out")
    resumed = run("fit", "--ckpt_path", path, cwd=folder)
    assert resumed.returncode == 1
    assert "is fitted by counting" in resumed.stderr.splitlines()[-1]


def test_more_minutes_try_a_network(tmp_path: Path):
    """Catches minutes that are ignored once a list is learned, and a mixture that other commands cannot open."""
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    for minutes in ("0", "0.02"):
        result = run("make", "words.txt", "--num_samples", "25", "--minutes", minutes, cwd=tmp_path)
        assert len(result.stdout.splitlines()) == 25, result.stderr
    assert "LSTM" in result.stderr
    (preview,) = (line for line in result.stderr.splitlines() if line.startswith("by counts alone: "))
    assert preview.count(", ") == 19


def test_a_model_stays_where_more_minutes_find_nothing_better(
    folder: Path, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Catches a longer search that replaces a better model, by its end or by Ctrl-C."""
    path = tmp_path / "best.ckpt"
    path.write_bytes(checkpoint(folder).read_bytes())
    earlier = Earlier.read(path)
    assert earlier is not None

    class Learner:
        judgement, chosen = "", Mock(loss=earlier.loss + 0.1)
        count, preview, save = Mock(), Mock(return_value=["x"]), Mock()
        mix = Mock(side_effect=[Stopped(signal.SIGINT), None])

    monkeypatch.setattr(model, "ListLearner", lambda *_: Learner())
    source = Mock(items=Items.from_strings(WORDS), data={"path": ["moved.txt"]})
    for minutes, kept in ((1.0, earlier.minutes), (2.0, 2.0)):
        command._learn(source, minutes, path, {"num_samples": 1}, earlier)
        later = Earlier.read(path)
        assert later is not None
        assert (later.minutes, later.loss, later.lines) == (kept, earlier.loss, earlier.lines)
        assert later.content["datamodule_hyper_parameters"]["path"] == ["moved.txt"]
    assert Learner.mix.call_count == 2
    assert not Learner.save.called


def test_time_that_changes_nothing_is_no_reason_to_learn_again():
    """Catches a minute spent on the network that an earlier call has tried."""
    items = Items.from_strings(WORDS)
    assert Earlier({}, 2.0, 1.0, []).had_time(items, 10.0)
    assert not Earlier({}, 0.01, 1.0, []).had_time(items, 10.0)
    assert not Earlier({}, 0.0, 1.0, []).had_time(items, 1.0)


def test_a_list_with_nothing_left_to_make_is_one_line(tmp_path: Path):
    """Catches a minute of learning before an error about conditions, and a list and folders that stay."""
    (tmp_path / "typed").write_text("\n".join(first + second for first in "abcdef" for second in "abcdef"))
    result = run("make", "-", "--num_samples", "3", cwd=tmp_path, prepare=open_stdin)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("error: stdin: no new item was found; the list may have all")
    assert "LSTM" not in result.stderr
    assert not (tmp_path / "lightning_logs").exists()


def test_stdin_and_several_files(tmp_path: Path):
    """Catches a list that is gone when another command asks for it."""
    (tmp_path / "typed").write_text("\n".join(WORDS[:20]))
    result = run("make", "-", "--num_samples", "3", "--minutes", "0", cwd=tmp_path, prepare=open_stdin)
    assert len(result.stdout.splitlines()) == 3, result.stderr
    (kept,) = tmp_path.glob("lightning_logs/make/stdin-*/items.txt")
    assert kept.read_text().split() == WORDS[:20]
    for name, words in (("a", WORDS[:10]), ("b", WORDS[5:20])):
        (tmp_path / f"{name}.txt").write_text("\n".join(words))
    both = run("make", "a.txt", "b.txt", "--num_samples", "3", "--minutes", "0", cwd=tmp_path)
    assert "a.txt, b.txt: 20 different items" in both.stderr


def test_a_pipe_is_read_once(tmp_path: Path):
    """Catches a list that is read again where nothing is left to read."""
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("\n".join(WORDS[:20]),), daemon=True)
    writer.start()
    result = run("make", "pipe", "--num_samples", "3", "--minutes", "0", cwd=tmp_path)
    assert len(result.stdout.splitlines()) == 3, result.stderr
    (kept,) = tmp_path.glob("lightning_logs/make/pipe-*/items.txt")
    assert kept.read_text().split() == WORDS[:20]


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path):
    """Catches a traceback where the list comes from stdin, which is kept before it is learned."""
    (tmp_path / "typed").write_text("\n".join(WORDS[:20]))
    (tmp_path / "lightning_logs").touch()
    result = run("make", "-", *COUNTS, cwd=tmp_path, prepare=open_stdin)
    assert result.returncode == 1
    assert result.stderr.startswith("error: folder of the model: lightning_logs/make/stdin-")
    assert result.stderr.endswith("cannot be written: Not a directory\n")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["none.txt"], 1, "none.txt"),
        (["one.txt"], 1, "one.txt has 1 different item; make needs at least 2"),
        (["-", "one.txt"], 1, "LIST is - and files; give one of them"),
        (["two.txt", "--minutes", "-1"], 2, "minutes is -1; give float in [0, 1440]"),
        (["two.txt", "--num_samples", "0"], 2, "num_samples is 0; give int from 1"),
        (["two.txt", "--temperatur", "1"], 2, "--temperatur"),
        ([], 2, "lists"),
    ],
)
def test_what_cannot_be_done_is_one_line(tmp_path: Path, arguments: list[str], status: int, message: str):
    """Catches a traceback, and a folder that is left behind."""
    (tmp_path / "one.txt").write_text("a\na\n")
    (tmp_path / "two.txt").write_text("a\nb\n")
    result = run("make", *arguments, cwd=tmp_path)
    assert result.returncode == status
    assert result.stdout == ""
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "lightning_logs").exists()
