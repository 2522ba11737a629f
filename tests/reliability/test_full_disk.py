"""A full disk at each write of each command: one line, a status, nothing half-made, nothing lost."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from run_command import FIT, run
from small_disk import Result, run_on_small_disk

from mm_lightning.training.checkpoint import load

SMALL = ("--data.path", "words.txt", "--data.batch_size", 5, "--model.network.init_args.hidden_dim", 8)
RUNS = ("lightning_logs/", "lightning_sweeps/")
LAST = "lightning_logs/version_0/checkpoints/last.ckpt"
COMMANDS: dict[str, tuple[Any, ...]] = {
    "new run": (*FIT, *SMALL, "--trainer.max_steps", 30, "--last.every_n_train_steps", 10),
    "resumed run": ("fit", "--ckpt_path", "last", "--trainer.max_steps", 60, "--last.every_n_train_steps", 10),
    "predict csv": ("predict", "--ckpt_path", LAST, "--sampling.num_samples", 2000, "--sampling.output", "items.csv"),
    "predict txt": ("predict", "--ckpt_path", LAST, "--sampling.num_samples", 2000, "--sampling.output", "items.txt"),
    "plot": ("plot", "--ckpt_path", LAST, "--output", "some/plots"),
    "lr_find": ("lr_find", "--ckpt_path", LAST, "--num_steps", 100, "--output", "lr.png"),
    "quality": ("quality", "--ckpt_path", LAST, "--num_samples", 50, "--output", "quality.json"),
    "report": ("report", "--data.path", "words.txt", "--output", "report.json"),
    "sweep sqlite": ("sweep", "--config", "sweep.yaml"),
    "sweep journal": ("sweep", "--config", "sweep.yaml", "--storage", "journal"),
}
SWEEP = """
base: base.yaml
trials: 2
sampler: grid
pruner: none
space:
  model.optimizer.init_args.lr: {choice: [0.1, 0.2]}
"""


@pytest.fixture(scope="module")
def before(words_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, a run of 20 steps and the plan of a sweep."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "words.txt").write_text(words_text)
    done = run(*FIT, *SMALL, "--trainer.max_steps", 20, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "sweep.yaml").write_text(SWEEP)
    base = Path(FIT[2]).read_text().replace("200_000", "20").replace("steps_per_execution: 500", "max_epochs: 1")
    (folder / "base.yaml").write_text(f"{base}\ndata:\n  path: words.txt\n")
    return folder


def _check(name: str, result: Result, old: dict[str, bytes], tmp_path: Path) -> str:
    """Check the end of a command; return "complete" or "refused"."""
    assert isinstance(result.status, int), f"{name}: {result.status}"
    assert "Traceback" not in result.stderr, f"{name}: {result.stderr}"
    assert not [path for path in result.files if ".partial" in path], name
    for path, content in result.files.items():
        if path.endswith(".ckpt"):
            (tmp_path / "some.ckpt").write_bytes(content)
            load(tmp_path / "some.ckpt")
    assert old.keys() <= result.files.keys()
    assert all(result.files[path] == content for path, content in old.items() if not path.startswith(RUNS))
    new = {Path(path).suffix for path in result.files.keys() - old.keys() if not path.startswith(RUNS)}
    if result.status == 0:
        assert name in ("new run", "resumed run") or new or "sweep" in name, name
        return "complete"
    assert new == set(), f"{name}: {new}"
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert lines == result.stderr.splitlines()[-1:], f"{name}: {result.stderr}"
    reasons = ("No space left on device", "disk is full", "room on the disk")
    assert any(words in lines[0] for words in reasons), lines
    assert "/" in lines[0] or any(f".{suffix}" in lines[0] for suffix in ("csv", "txt", "png", "json")), lines
    assert ("untouched" in lines[0]) <= ((LAST in old and "resumed" in name) or "last.ckpt" in lines[0]), lines
    if "untouched" in lines[0]:
        path = lines[0].partition("checkpoint: ")[2].partition(" cannot")[0]
        assert any(path.endswith(file) for file in result.files), lines
    return "refused"


def _check_goes_on(name: str, result: Result, tmp_path: Path) -> None:
    """Run a sweep again, with room."""
    if "sweep" not in name or result.status == 0:
        return
    folder = tmp_path / "again"
    shutil.rmtree(folder, ignore_errors=True)
    for path, content in result.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    done = run(*COMMANDS[name], cwd=folder)
    assert done.returncode == 0, f"{name} cannot go on: {done.stderr}"
    assert (folder / "lightning_sweeps/sweep/best.yaml").is_file()


def _tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _try(names: list[str], most: int, before: Path, tmp_path: Path) -> None:
    """Run commands with each number of free pages, and of free inodes, at most so many of each."""
    old, counts = _tree(before), {"complete": 0, "refused": 0}
    for name in names:
        whole = run_on_small_disk(*COMMANDS[name], before=before, folder=tmp_path)
        if whole is None:
            pytest.skip("the system allows no mount in a namespace")
        assert _check(name, whole, old, tmp_path) == "complete", whole.stderr
        used = max(2, whole.used_pages), max(2, whole.used_inodes)
        here = {"complete": 0, "refused": 0}
        for kind, number in (("free_pages", used[0]), ("free_inodes", used[1])):
            for free in sorted({round(number * step / most) for step in range(most)} | ({0} if most > 1 else set())):
                result = run_on_small_disk(*COMMANDS[name], before=before, folder=tmp_path, **{kind: free})
                assert result is not None
                _check_goes_on(name, result, tmp_path)
                here[_check(f"{name}", result, old, tmp_path)] += 1
        print(f"{name}: {whole.used_pages} pages, {whole.used_inodes} inodes; {here}")
        counts = {key: counts[key] + here[key] for key in counts}
    print(counts)
    assert counts["refused"] > 0


def test_a_full_disk_is_one_line_and_leaves_nothing(before: Path, tmp_path: Path):
    """Catches a traceback, a partial file, one of two files, or an untrue word after a full disk."""
    _try(["predict csv", "resumed run"], 1, before, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_at_each_write(name: str, before: Path, tmp_path: Path):
    """Catches a traceback, a partial file, one of two files, or an untrue word after a full disk."""
    _try([name], 8, before, tmp_path)


STDOUT = {
    "help": ("--help",),
    "help of a command": ("predict", "--help"),
    "report": ("report", "--data.path", "words.txt"),
    "predict": ("predict", "--ckpt_path", LAST, "--sampling.num_samples", 2000),
    "score": ("score", "--ckpt_path", LAST, "ban"),
    "quality": ("quality", "--ckpt_path", LAST, "--num_samples", 50),
    "validate": ("validate", "--ckpt_path", LAST),
    "plot": ("plot", "--ckpt_path", LAST, "--output", "pictures"),
    "lr_find": ("lr_find", "--ckpt_path", LAST, "--num_steps", 100),
    "fit": (*FIT, *SMALL, "--trainer.max_steps", 30),
    "sweep": ("sweep", "--config", "sweep.yaml"),
}


def _fill_stdout() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _full_stdout(name: str, before: Path, tmp_path: Path) -> None:
    shutil.copytree(before, tmp_path / "here")
    done = run(*STDOUT[name], cwd=tmp_path / "here", prepare=_fill_stdout)
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-1] == "error: standard output cannot be written: No space left on device"
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("name", ["help", "predict"])
def test_a_full_disk_under_stdout_is_one_line(name: str, before: Path, tmp_path: Path):
    """Catches status 0 or 120 for output that went nowhere, and Python's complaint at exit."""
    _full_stdout(name, before, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", STDOUT)
def test_a_full_disk_under_the_stdout_of_each_command(name: str, before: Path, tmp_path: Path):
    """Catches status 0 or 120 for output that went nowhere, and Python's complaint at exit."""
    _full_stdout(name, before, tmp_path)
