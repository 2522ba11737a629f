"""The verify command: a card's measures again, and cards and folders that cannot be verified."""

import json
import math
import re

import pytest
from run_command import run

from mm_lightning.commands import verify

DATA = ("--data.path", "words.txt")


@pytest.fixture(scope="module")
def folder(names_run, tmp_path_factory):
    """A folder with an exported model and its data."""
    pytest.importorskip("safetensors")
    folder = tmp_path_factory.mktemp("exported")
    (folder / "words.txt").write_text((names_run / "words.txt").read_text())
    to = ("--format", "safetensors", "--output", folder / "model")
    result = run("export", "--ckpt_path", "best", *to, cwd=names_run)
    assert result.returncode == 0, result.stderr
    return folder


def last_error(result):
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def test_a_folder_is_what_its_card_says(folder):
    """Catches a measure of the card that another process does not get, and one that is not measured again."""
    result = run("verify", "model", *DATA, cwd=folder)
    assert result.returncode == 0, result.stderr
    *rows, last = result.stdout.splitlines()
    assert last == f"model/README.md: all {len(rows) - 1} measures are as it says"
    assert {tuple(row.split()[:2]) for row in rows[1:]} >= {
        ("train", "nll"),
        ("dev", "nll_unseen"),
        ("test", "nll"),
        ("samples", "new"),
    }
    assert "differs" not in result.stdout


def test_the_losses_are_those_of_validate_and_test(folder):
    """Catches a card with a loss of its own making."""
    card = (folder / "model/README.md").read_text()
    for command, split in (("validate", "dev"), ("test", "test")):
        shown = run(command, "--ckpt_path", "model", *DATA, cwd=folder).stdout
        loss = float(re.search(r"(?:val|test)/loss\s+│?\s*([\d.]+)", shown)[1])
        assert float(re.search(rf"^\| {split} \| [\d,]+ \| ([\d.]+) \|", card, re.M)[1]) == pytest.approx(
            loss, abs=1e-4
        )


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        (r"(type: nll\n\s+value: )\S+", r"\g<1>0.5", 3),
        (r"(type: new\n\s+value: )\S+", r"\g<1>0.001", 1),
        (r" +- type: new\n\s+value: \S+\n", "", 1),
        (r"type: new", "type: hits", 2),
    ],
)
def test_a_changed_card_fails(folder, tmp_path, old, new, differ):
    """Catches a claim that is believed, one that is left out, and one that nobody can measure."""
    card = (folder / "model/README.md").read_text()
    (tmp_path / "card.md").write_text(re.sub(old, new, card))
    result = run("verify", tmp_path / "card.md", "--ckpt_path", "model", *DATA, cwd=folder)
    assert re.fullmatch(rf"error: {differ} of \d+ measures of .*card.md differ", last_error(result))
    assert result.stdout.count("differs") == differ


def test_an_infinite_loss_equals_itself():
    """Catches a card that can never be verified: of counts without smoothing."""
    assert verify._is_equal("dev", math.inf, math.inf)
    assert not verify._is_equal("dev", math.inf, 2.0)
    assert not verify._is_equal("dev", 2.0, math.inf)


def test_other_data_are_refused(folder, tmp_path):
    """Catches measures on other items, and a file that only looks the same."""
    words = (folder / "words.txt").read_text()
    (tmp_path / "fewer.txt").write_text(words.partition("\n")[2])
    (tmp_path / "spaced.txt").write_text(f"{words}\n\n")
    fewer, spaced = (
        last_error(run("verify", "model", "--data.path", tmp_path / f"{name}.txt", cwd=folder))
        for name in ("fewer", "spaced")
    )
    assert "is not what model was trained on" in fewer
    assert "is another file than the card's, by its SHA-256" in spaced


def test_what_is_no_card_is_refused(folder, tmp_path):
    """Catches a traceback, and a card that is looked for in the wrong place."""
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe")
    for args, message in (
        ((), "verify needs one card"),
        (("model", "model"), "verify needs one card"),
        (("nosuch",), "no model.safetensors beside the card; give the model as --ckpt_path"),
        (("nosuch.md", "--ckpt_path", "model"), "nosuch.md cannot be read"),
        (("words.txt", "--ckpt_path", "model"), "words.txt has no measures to verify"),
        ((tmp_path / "binary.md", "--ckpt_path", "model"), "is no card: it is not UTF-8"),
    ):
        assert message in last_error(run("verify", *args, cwd=folder))


def test_no_other_file_becomes_a_card(folder, names_run):
    """Catches the README of a project that an export replaces."""
    (folder / "README.md").write_text("# My project\n")
    result = run("export", "--ckpt_path", "best", "--format", "safetensors", "--output", folder, cwd=names_run)
    assert "README.md exists and is no card" in last_error(result)
    assert (folder / "README.md").read_text() == "# My project\n"
    assert not (folder / "config.json").exists()
    assert json.loads((folder / "model/config.json").read_text())
