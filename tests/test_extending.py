"""The changes that docs/extending.md shows, applied to a copy of the package and run as a user runs them."""

import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from run_command import ROOT

pytestmark = pytest.mark.slow  # half a minute
PAGE = ROOT / "docs/extending.md"


def blocks() -> list[tuple[str, str, str]]:
    """Language, file and content of each fenced block that names a file."""
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [(language, file, content) for language, file, content in found]


def patched(text: str, diff: str) -> str:
    """The text with the hunks of a unified diff applied; each must fit in exactly one place."""
    for hunk in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = hunk.splitlines(keepends=True)
        old, new = ("".join(line[1:] for line in lines if line[0] in signs) for signs in (" -", " +"))
        assert text.count(old) == 1, f"this hunk fits in {text.count(old)} places:\n{hunk}"
        text = text.replace(old, new)
    return text


def shown(name: str, section: str) -> list[str]:
    """Arguments of the command with this name in a section of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"## {section}\n")[2]
    command = re.search(rf"^\$ uv run python -m mm_lightning ({name} .*)$", text, re.MULTILINE)
    assert command is not None, f"{section} shows no {name}"
    return command[1].split()


def run(checkout: Path, *args: str) -> str:
    """Stdout of a command of the copy."""
    command = [sys.executable, "-m", "mm_lightning", *args]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, its recipes and data, with every block of the page applied, and a model trained in it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("mm_lightning", "configs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "data").mkdir()
    shutil.copy(ROOT / "data/names.txt", folder / "data")
    shutil.copy(ROOT / "pyproject.toml", folder)
    for language, file, content in blocks():
        path = folder / file
        assert path.exists() == (language == "diff"), f"{file} is there before its block, or missing for its diff"
        path.write_text(patched(path.read_text(encoding="utf-8"), content) if language == "diff" else content)
    run(folder, *shown("fit", "A network"), "--trainer.max_steps", "300")
    return folder


def test_the_blocks_obey_the_linter(checkout: Path):
    """Catches example code that a reader copies and then has to mend before a commit."""
    for command in (("check",), ("format", "--check")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "mm_lightning"],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_a_network(checkout: Path):
    """Catches a network of the page that no longer trains, or whose checkpoint does not sample."""
    samples = run(checkout, *shown("predict", "A network")).splitlines()
    assert len(samples) == 20
    assert all(sample.isalpha() and sample.islower() for sample in samples)


def test_a_sampling_option(checkout: Path):
    """Catches a sampling option of the page that is not parsed, or that sampling ignores."""
    samples = run(checkout, *shown("predict", "A sampling option"), "--sampling.min_p", "1").splitlines()
    assert len(samples) == 20
    assert len({*samples}) == 1  # only the most likely character is left each time


def test_a_measure(checkout: Path):
    """Catches a measure of the page that `quality` does not print, or that it computes wrongly."""
    head, *rows = [line.split() for line in run(checkout, *shown("quality", "A measure")).splitlines()]
    (dev,) = (row for row in rows if row[:1] == ["dev"])
    names = (checkout / "data/names.txt").read_text(encoding="utf-8").split()
    random.Random(42).shuffle(names)
    first = int(0.8 * len(names))  # of the dev split, as in the lecture; of which as many count as there are samples
    expected = sum(re.search(r"(.)\1", name) is not None for name in names[first : first + 1000]) / 1000
    assert dev[1 + head.index("doubles")] == f"{expected:.1%}"


def test_a_command(checkout: Path):
    """Catches a command of the page that is not found, or that prints other items than the least likely."""
    rows = [line.split("\t") for line in run(checkout, *shown("unlikely", "A command")).splitlines()]
    assert len(rows) == 5
    assert sorted(rows, key=lambda row: -float(row[0])) == rows
    scored = run(checkout, "score", "--ckpt_path", "last", "anna", rows[0][1]).splitlines()[1:]
    likely, unlikely = (float(line.split("\t")[2]) for line in scored)
    assert likely < unlikely == pytest.approx(float(rows[0][0]), abs=1e-3)
