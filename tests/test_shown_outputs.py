"""The outputs that README and docs show are those of their commands and of their Python code."""

from pathlib import Path

import pytest
from run_command import ROOT
from shown_outputs import Reader, are_alike, is_alike, keeps_conditions, read_python


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


def test_the_comparison_sees_differences():
    """Catches a comparison that lets everything pass."""
    assert is_alike("dev 2.12 (12.6%), ...", "dev  2.13 (12.6%), and more", "fit")
    assert not is_alike("dev 2.12", "dev 2.22", "fit")
    assert not is_alike("dev 2.12", "dev 2.13", "report")
    assert not is_alike("dev 2.12", "test 2.12", "fit")
    line = "step 7: val/loss 2.12; samples ([in training]): emma [ava]"
    assert is_alike(line, line.replace("2.12", "2.13").replace("emma", "anna"), "fit")
    assert not is_alike(line, line.replace("emma", "anna"), "fit")  # the numbers are repeated, the items are not
    assert are_alike(["a", "...", "d"], ["a", "b", "c", "d"], str.__eq__)
    assert not are_alike(["a", "...", "d"], ["a", "b", "c"], str.__eq__)
    assert not are_alike(["a"], ["a", "b"], str.__eq__)
    assert keeps_conditions(["maka", "mya"], ["--sampling.pattern", "m*a", "--sampling.suffix", "a"])
    assert not keeps_conditions(["mak"], ["--sampling.pattern", "m*a"])
