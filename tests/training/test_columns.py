"""Runs on a table with labels and weights: resumed and in blocks bit for bit, and what they print."""

from pathlib import Path

import pytest
import torch
from compare import equal
from run_command import FIT, run

WEIGHT = ("--data.weight", "n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, words_text: str) -> Path:
    """A folder with a table of words, each with a number and one of three kinds, repeats among them."""
    folder = tmp_path_factory.mktemp("columns")
    rows = [f"{w},{'xyz'[i % 3]},{1 + i * i % 9}" for i, w in enumerate(words_text.splitlines() * 2)]
    (folder / "table.csv").write_text("\n".join(["word,kind,n", *rows[:55]]), encoding="utf-8")
    return folder


def fit(folder: Path, root: Path, *options: object):
    data = ("--data.path", "table.csv", "--data.item", "word", "--data.batch_size", 8)
    done = run(*FIT, *data, "--trainer.default_root_dir", root, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def last(root: Path) -> dict:
    return torch.load(root / "lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("columns", [WEIGHT])
@pytest.mark.parametrize("network", ["MLP", "LSTM"])
def test_resumed_runs_and_blocks_are_single_steps(folder: Path, tmp_path: Path, columns: tuple, network: str):
    """Catches examples of an epoch that depend on where a run began, or on how steps are carried out."""
    options = (*columns, "--model.network", f"mm_lightning.networks.{network}", "--trainer.max_steps")
    fit(folder, tmp_path / "whole", *options, 60)
    fit(folder, tmp_path / "parts", *options, 23)
    done = run(
        *("fit", "--ckpt_path", "last", "--trainer.max_steps", 60, "--trainer.default_root_dir", tmp_path / "parts"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    fit(folder, tmp_path / "blocks", *options, 60, "--trainer.steps_per_execution", 9)
    for kind in ("parts", "blocks"):
        assert equal(last(tmp_path / "whole")["state_dict"], last(tmp_path / kind)["state_dict"]), kind
        assert last(tmp_path / "whole")["data"] == last(tmp_path / kind)["data"]


def test_every_loss_says_how_it_is_weighted(folder: Path, tmp_path: Path):
    """Catches a loss that is read as one in which each item counts once."""
    done = fit(folder, tmp_path, *WEIGHT, "--trainer.max_steps", 20, "--trainer.log_every_n_steps", 5)
    for line in done.stdout.splitlines():
        assert "val/loss" not in line or "weighted by n" in line
    ckpt = ("--ckpt_path", tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt")
    assert "losses weighted by n\n" in run("validate", *ckpt, cwd=folder).stdout
    assert "weighted by n" in run("quality", *ckpt, "--num_samples", 50, cwd=folder).stdout
    other = run("validate", *ckpt, "--data.weight", "null", cwd=folder)
    assert "is not what this checkpoint was trained on" in other.stderr
