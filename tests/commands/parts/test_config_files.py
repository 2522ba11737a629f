"""Config files are checked before anything parses them."""

import re
from pathlib import Path

import pytest
from run_command import run

from mm_lightning import UserError
from mm_lightning.commands.parts.parsing.config_files import config_files, read_config

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "laughs": (LAUGHS.encode(), "becomes far larger when its aliases are written out"),
    "itself": (b"a: &a\n  b: *a\n", r"has \*a where no part of this name is complete"),
    "deep": (b"a: " + b"[" * 2000 + b"]" * 2000, "is nested more than 50 deep"),
    "binary": (bytes(range(256)), "cannot be read: it is not UTF-8"),
    "latin": ("# café\n".encode("latin-1"), "cannot be read: it is not UTF-8"),
    "list": (b"- a\n- b\n", "holds a list and no settings"),
    "empty": (b"# nothing\n", "holds no settings"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_config_is_refused(name: str, tmp_path: Path):
    """Catches a small file that takes for ever, all memory, or the interpreter's stack."""
    data, reason = HOSTILE[name]
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    with pytest.raises(
        UserError, match=rf"config file .*a\.yaml cannot be used: it {reason}" if name != "laughs" else reason
    ):
        read_config(path)


@pytest.mark.parametrize("command", [["fit", "--config"], ["sweep", "--config"], ["sweep", "-c"], ["fit", "--trainer"]])
def test_every_command_refuses_a_hostile_config(command: list[str], tmp_path: Path):
    """Catches a config file that a command opens without the check."""
    (tmp_path / "a.yaml").write_text(LAUGHS)
    done = run(*command, "a.yaml", *(["--config", "x"] if "--trainer" in command else []), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: config file a.yaml cannot be used: it becomes far larger")
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def test_a_sweep_refuses_a_hostile_base(tmp_path: Path):
    """Catches a base that is opened without the check."""
    (tmp_path / "base.yaml").write_text(LAUGHS)
    (tmp_path / "a.yaml").write_text("base: base.yaml\ntrials: 1\nspace:\n  model.lr: {choice: [1, 2]}\n")
    done = run("sweep", "--config", "a.yaml", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: config file base.yaml cannot be used")


def test_a_harmless_config_is_read_whole(tmp_path: Path):
    """Catches anchors that are refused, and a text that is changed."""
    path = tmp_path / "a.yaml"
    path.write_text("a: &a {lr: 0.1}\nb: *a\nc: {<<: *a, x: ü}\n", encoding="utf-8")
    assert read_config(path) == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: [b\n", "line 2, column 1: expected ',' or ']', but got '<stream end>'"),
        ("a:\n\tb: 1\n", r"line 2, column 1: found character '\t' that cannot start any token"),
        ("a: 1\n---\na: 2\n", "line 2, column 1: but found another document"),
        ("a: \x07\n", "it has control characters"),
    ],
)
def test_a_config_that_is_no_yaml_is_told_its_place(tmp_path: Path, text: str, place: str):
    """Catches an error that does not name the file, and one without a line."""
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=re.escape(f"a.yaml is no YAML: {place};")):
        read_config(str(path))


def test_config_files_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a file behind an equals sign or without suffix, a word that is taken for a file, and a very long word."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yml", "c", "d"):
        (tmp_path / name).touch()
    args = ["fit", "--config", "c", "--trainer=a.yaml", "--model", "b.yml", "d", "x" * 300 + ".yaml", "--config=none"]
    assert config_files(args) == ["c", "a.yaml", "b.yml"]
