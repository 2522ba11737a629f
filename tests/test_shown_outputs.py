"""The outputs that README and docs show are those of their commands and of their Python code."""

from pathlib import Path

import pytest
from run_command import ROOT
from shown_outputs import Reader, read_python


def test_readme_and_conditions(tmp_path: Path):
    """Catches an output on a page that its command no longer prints, or a command that no longer works."""
    reader = Reader(tmp_path)
    reader.read(ROOT / "README.md")
    reader.read(ROOT / "docs/conditions.md")


@pytest.mark.slow
def test_labels(tmp_path: Path):
    """Catches an output on a page that its command no longer prints, or a command that no longer works."""
    Reader(tmp_path).read(ROOT / "docs/labels.md")


@pytest.mark.slow
def test_guide(tmp_path: Path):
    """Catches an output of the guide that its command no longer prints, or a command that no longer works."""
    Reader(tmp_path, "lightning_logs/version_1/checkpoints/best.ckpt").read(ROOT / "docs/guide.md")


@pytest.mark.slow
def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a line of Python on a page that no longer works, or that gives something else."""
    monkeypatch.chdir(tmp_path)
    read_python(ROOT / "docs/share.md")
