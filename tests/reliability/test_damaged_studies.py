"""Damaged study files: a sweep goes on, or ends with one line; no traceback, and no file beyond its own."""

import collections
import shutil
from pathlib import Path

import pytest
from damage import cut_or_extended, flipped
from run_command import FIT, run

PLAN = """
base: base.yaml
trials: 2
sampler: grid
pruner: none
space:
  model.optimizer.init_args.lr: {choice: [0.1, 0.2]}
"""
FILES = {"sqlite": "study.db", "journal": "study.journal"}
STUDY = Path("lightning_sweeps/sweep")


@pytest.fixture(scope="module", params=FILES)
def study(request: pytest.FixtureRequest, words_text: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a finished study of two trials, in the folder of its sweep."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "words.txt").write_text(words_text)
    base = Path(FIT[2]).read_text().replace("200_000", "20").replace("steps_per_execution: 500", "max_epochs: 1")
    (folder / "base.yaml").write_text(f"{base}\ndata:\n  path: words.txt\n")
    (folder / "sweep.yaml").write_text(f"{PLAN}storage: {request.param}\n")
    done = run("sweep", "--config", "sweep.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / STUDY / FILES[request.param]


def _damage(study: Path, count: int, tmp_path: Path) -> None:
    data = study.read_bytes()
    others = [b"emma\nolivia\n" * 100, b"", b"\0" * 4096, b"SQLite format 3\0" + bytes(4080), b"{}\n", b"[1]\n"]
    counts: collections.Counter[str] = collections.Counter()
    for number, damaged in enumerate([*flipped(data, count), *cut_or_extended(data, count), *others[:count]]):
        folder = tmp_path / str(number)
        shutil.copytree(study.parents[len(STUDY.parts)], folder)
        (folder / STUDY / study.name).write_bytes(damaged)
        done = run("sweep", "--config", "sweep.yaml", cwd=folder)
        assert "Traceback" not in done.stderr, f"{number}: {done.stderr}"
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            assert errors == done.stderr.splitlines()[-1:], f"{number}: {done.stderr}"
            assert "sweep" in errors[0]
        counts["refused" if done.returncode else "goes on"] += 1
        shutil.rmtree(folder)
    print(f"{study.name}: {counts}")
    assert counts["refused"] > 0


def test_a_damaged_study_is_one_line(study: Path, tmp_path: Path):
    """Catches a traceback of a library that keeps the trials."""
    _damage(study, 1, tmp_path)


@pytest.mark.slow
def test_many_damaged_studies_are_one_line(study: Path, tmp_path: Path):
    """Catches a traceback of a library that keeps the trials."""
    _damage(study, 25, tmp_path)
