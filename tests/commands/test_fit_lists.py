"""Fit on short lists: what is printed, the warning of far too many epochs, and a start from another model."""

import re
from pathlib import Path

import pytest
import torch
from run_command import ROOT, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

FAST = ("fit", "--config", str(ROOT / "configs/mlp_fast.yaml"), "--data.path", "words.txt")
WARNING = "set --trainer.max_steps 100, or let the list choose: python -m mm_lightning make words.txt"


@pytest.fixture(scope="module")
def folder(words_elsewhere: Path) -> Path:
    """A folder with a run of 300 epochs of one step."""
    result = run(*FAST, "--trainer.max_steps", 300, cwd=words_elsewhere.parent)
    assert result.returncode == 0, result.stderr
    (words_elsewhere.parent / "fit.out").write_text(result.stdout, encoding="utf-8")
    (words_elsewhere.parent / "fit.err").write_text(result.stderr, encoding="utf-8")
    return words_elsewhere.parent


def steps_of(text: str) -> list[int]:
    return [int(step) for step in re.findall(r"^step (\d+): ", text, re.MULTILINE)]


def scalars(run_folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in EventAccumulator(str(run_folder)).Reload().Scalars(tag)]


def test_many_short_epochs_print_one_screen(folder: Path):
    """Catches a line per epoch, a last line that is missing, and a best checkpoint that was not measured."""
    assert steps_of((folder / "fit.out").read_text()) == [64, 128, 192, 256, 300]
    assert len(((folder / "fit.out").read_text() + (folder / "fit.err").read_text()).splitlines()) <= 40
    losses = scalars(folder / "lightning_logs/version_0", "val/loss")
    assert [step for step, _ in losses][:9] == [4, 8, 12, 16, 20, 24, 28, 32, 40]
    assert losses[-1][0] == 300
    best = torch.load(folder / "lightning_logs/version_0/checkpoints/best.ckpt", weights_only=True)
    assert best["global_step"] == min(losses, key=lambda point: point[1])[0]


def test_an_interval_of_the_users_is_obeyed(folder: Path, tmp_path: Path):
    """Catches validations at milestones where the user has asked for others."""
    options = ("--trainer.max_steps", 10, "--trainer.check_val_every_n_epoch", 3)
    result = run(*FAST[:-1], folder / "words.txt", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [step for step, _ in scalars(tmp_path / "lightning_logs/version_0", "val/loss")] == [3, 6, 9]


def test_far_too_many_epochs_are_said(folder: Path, tmp_path: Path):
    """Catches a recipe for 32,000 names that learns a short list by heart without a word, and a needless warning."""
    assert WARNING in (folder / "fit.err").read_text()
    result = run(*FAST[:-1], folder / "words.txt", "--trainer.max_steps", 100, cwd=tmp_path)
    assert "warning" not in result.stderr


def test_a_run_of_no_step_leaves_nothing(folder: Path, tmp_path: Path):
    """Catches success for a run folder without a checkpoint, and a hint at a command that cannot read the table."""
    table = tmp_path / "b, k.csv"
    table.write_text("word\n" + (folder / "words.txt").read_text())
    options = ("--data.item", "word", "--trainer.max_steps", 300, "--trainer.max_time", "00:00:00:00")
    done = run(*FAST[:-1], table.name, *options, cwd=tmp_path)
    assert "let the list choose: python -m mm_lightning make 'b, k.csv' --data.item word\n" in done.stderr
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: training ended before its first step, so no run is left")
    assert list((tmp_path / "lightning_logs").iterdir()) == []


def test_a_run_without_dev_items_ends_with_its_last_checkpoint(folder: Path, tmp_path: Path):
    """Catches a model of all items whose checkpoint is not named, and a library's warning of the empty dev split."""
    result = run(*FAST[:-1], folder / "words.txt", "--data.split", "all", "--trainer.max_steps", 10, cwd=tmp_path)
    path = "lightning_logs/version_0/checkpoints/last.ckpt"
    assert result.stdout.splitlines()[-2:] == [
        f"last checkpoint: {path}",
        f"sample from it:  python -m mm_lightning predict --ckpt_path {path}",
    ]
    assert "Warning" not in result.stderr
    assert "Total length" not in result.stderr


def test_a_run_begins_from_another_models_weights(folder: Path, tmp_path: Path):
    """Catches a start that is fresh, a config without it, and a resumed run that begins anew or forgets it."""
    (tmp_path / "words.txt").write_text((folder / "words.txt").read_text().upper() + "\nZOÉ", encoding="utf-8")
    start = folder / "lightning_logs/version_0/checkpoints/best.ckpt"
    options = ("--data.path", "words.txt", "--model.lr_scheduler", "null", "--trainer.check_val_every_n_epoch", 1)
    began = run("fit", "--init_from", start, *options, "--trainer.max_steps", 2, cwd=tmp_path)
    assert began.returncode == 0, began.stderr
    assert re.search(r"begins from .*best.ckpt \(step \d+\): 0 of 12 tokens are known there", began.stderr)
    run_folder = tmp_path / "lightning_logs/version_0"
    assert scalars(run_folder, "val/loss")[0][1] < 1.8  # fresh weights: 2.5
    resumed = run("fit", "--ckpt_path", "last", "--trainer.max_steps", 4, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert "begins from" not in resumed.stderr
    assert f"init_from: {start}" in (run_folder / "config.yaml").read_text()
    assert [step for step, _ in scalars(run_folder, "val/loss")] == [1, 2, 3, 4]


def test_one_example_cannot_be_normalised(folder: Path, tmp_path: Path):
    """Catches torch's traceback from the first step."""
    recipe = ("fit", "--config", ROOT / "configs/wavenet_22k.yaml", "--data.path", folder / "words.txt")
    result = run(*recipe, "--data.batch_size", 1, cwd=tmp_path)
    assert result.stderr.splitlines()[-1].startswith("error: data.batch_size is 1, and batch normalisation needs two")
    assert list(tmp_path.iterdir()) == []


def test_a_trial_leaves_nothing(folder: Path, tmp_path: Path):
    """Catches a run of fast_dev_run that is half there, and `best` of a config taken for the name of a file."""
    before = sorted(folder.rglob("*"))
    (tmp_path / "start.yaml").write_text("init_from: best\n", encoding="utf-8")
    result = run(*FAST, "--config", tmp_path / "start.yaml", "--trainer.fast_dev_run", "true", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert sorted(folder.rglob("*")) == before
    resumed = run("fit", "--ckpt_path", "last", "--trainer.fast_dev_run", "2000", cwd=folder)
    assert "trainer.fast_dev_run tries a new run, and --ckpt_path " in resumed.stderr.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before
    assert "begins from lightning_logs/version_0/checkpoints/best.ckpt (step " in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--model.network.hidden_dim", 7), "hidden_dim=200"),
        (("--model.network", "mm_lightning.networks.GRU"), "model.network is mm_lightning.networks.GRU, but "),
        (("--ckpt_path", "last"), "leave one out"),
        (("--data.tokens", "words"), "data.tokens is words, but "),
    ],
)
def test_a_start_that_does_not_fit_is_one_line(folder: Path, options: tuple[str, ...], message: str):
    """Catches weights that are left out, a run that is resumed and begun at once, and a half-made run folder."""
    before = sorted(folder.rglob("*"))
    result = run("fit", "--init_from", "best", *options, cwd=folder)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before


def test_a_runs_config_serves_other_commands(folder: Path):
    """Catches a config that only fit can read, because it records what the run began from."""
    config = folder / "lightning_logs/version_0/config.yaml"
    assert "init_from: null" in config.read_text()
    options = ("--ckpt_path", "last", "--trainer.enable_progress_bar", "false")
    result = run("predict", "--config", config, *options, cwd=folder)
    assert result.returncode == 0, result.stderr
