"""Loggers other than the run's own TensorBoard, and metrics that are watched."""

import csv
import importlib.util
from pathlib import Path

import pytest
from run_command import ROOT, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator as PluginEventAccumulator

from mm_lightning.cli.application import main

FIT = ("fit", "--config", ROOT / "configs/mlp_fast.yaml", "--trainer.log_every_n_steps", "10")
CSV = ("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", ".")


@pytest.fixture
def names(tmp_path: Path) -> Path:
    path = tmp_path / "names.txt"
    lines = (ROOT / "data/names.txt").read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(lines[::80]) + "\n", encoding="utf-8")
    return path


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return [{key: value for key, value in row.items() if value} for row in csv.DictReader(file)]


def test_curves_in_a_table_are_in_the_folder_of_the_run(names: Path, tmp_path: Path):
    """Catches a logger that makes a folder like that of one more run, and a resumed run that deletes its curves."""
    for options in (("--trainer.max_steps", "20"), ("--trainer.max_steps", "40", "--ckpt_path", "last")):
        if "last" in options:  # a crash in the middle of a write
            with (tmp_path / "lightning_logs/version_0/metrics.csv").open("a") as file:
                file.write("1250,9.3e-")
        done = run(*FIT, "--data.path", names, *options, *CSV, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "exists" not in done.stderr
    (folder,) = (tmp_path / "lightning_logs").iterdir()
    train = [int(row["step"]) for row in rows(folder) if "train/loss" in row]
    assert train == [10, 20, 30, 40]
    assert max(int(row["step"]) for row in rows(folder) if "val/loss" in row) == 40


def test_a_configured_tensorboard_hides_the_points_after_the_checkpoint(words: Path):
    """Catches points of a killed run that stand twice in TensorBoard after the run has gone on."""
    data = ("--data.path", str(words), "--data.batch_size", "5")
    both = [part for kind in ("CSVLogger", "TensorBoardLogger") for part in ("--trainer.logger+", kind, *CSV[2:])]
    model = ("--model.network", "mm_lightning.networks.Bigram", "--model.optimizer", "torch.optim.SGD")
    options = ("fit", *data, *model, "--trainer.log_every_n_steps", "10", *both)
    main([*options, "--trainer.max_steps", "20"])
    path = Path("lightning_logs/version_0/checkpoints/last.ckpt")
    saved = path.read_bytes()
    for _ in range(2):  # the second run goes on from where the first one was, as if that had been killed
        path.write_bytes(saved)
        main([*options, "--trainer.max_steps", "40", "--ckpt_path", "last"])
    events = PluginEventAccumulator("lightning_logs/version_0").Reload()  # what TensorBoard shows
    assert [event.step for event in events.Tensors("train/loss")] == [10, 20, 30, 40]
    assert [int(row["step"]) for row in rows(path.parents[1]) if "train/loss" in row] == [10, 20, 30, 40]


def test_tensorboard_need_not_be_the_first_logger(names: Path, tmp_path: Path):
    """Catches charts, samples and pictures that are missing where another logger stands before TensorBoard's."""
    both = [part for kind in ("CSVLogger", "TensorBoardLogger") for part in ("--trainer.logger+", kind, *CSV[2:])]
    done = run(*FIT, "--data.path", names, "--trainer.max_steps", "10", *both, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tags = EventAccumulator(str(tmp_path / "lightning_logs/version_0")).Reload().Tags()
    assert {"custom_scalars__config__", "samples/text_summary"} <= set(tags["tensors"])
    assert "weights/embedding" in tags["images"]
    assert rows(tmp_path / "lightning_logs/version_0")


def test_a_logger_elsewhere_stays_there(names: Path, tmp_path: Path):
    """Catches a place that the user gave, and that is ignored."""
    place = ("--trainer.logger.save_dir", "elsewhere", "--trainer.logger.name", "curves")
    done = run(*FIT, "--data.path", names, "--trainer.max_steps", "10", *CSV[:2], *place, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert rows(tmp_path / "elsewhere/curves/version_0")


@pytest.mark.skipif(importlib.util.find_spec("wandb") is not None, reason="wandb is installed")
def test_an_absent_package_is_named_with_its_installation(names: Path, tmp_path: Path):
    """Catches a traceback of the parser where a logger's package is not installed."""
    done = run(*FIT, "--data.path", names, "--trainer.logger", "WandbLogger", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: WandbLogger needs a package that is not installed; run: uv pip install 'wandb"
    )
    assert not (tmp_path / "lightning_logs").exists()


def test_an_unknown_metric_is_one_line_with_the_known_ones(names: Path, tmp_path: Path):
    """Catches a traceback where early stopping watches a name that is not there."""
    stopping = ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_loss")
    done = run(*FIT, "--data.path", names, "--trainer.max_steps", "40", *stopping, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: EarlyStopping: monitor is val_loss; give one of `val/loss`, ")
