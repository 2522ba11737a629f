"""Runs that are killed and resumed, and all that a run leaves, to compare it with an uninterrupted one."""

import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path

import torch
import yaml
from run_command import Command, run
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

TIMEOUT = 300  # seconds of one command, on a busy machine
_BASE = (
    *("fit", "--data.path", "words.txt", "--data.batch_size", "5"),
    *("--model.network.class_path", "dropout_mlp.DropoutMLP"),
    *("--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01"),
    *("--trainer.log_every_n_steps", "4", "--trainer.enable_model_summary", "false"),
    *("--trainer.accelerator", "cpu", "--histograms.every_n_train_steps", "20"),
)
_BLOCKS = ("--trainer.max_steps", "130", "--trainer.steps_per_execution", "50", "--last.every_n_train_steps", "20")
_DECAY = ("--model.lr_scheduler", "torch.optim.lr_scheduler.ExponentialLR", "--model.lr_scheduler.gamma", "0.99")
_MIDDLE = ("--trainer.val_check_interval", "7", "--trainer.check_val_every_n_epoch", "null")
CASES = {  # an epoch has 26 batches; the GRU's has 5
    "single steps": (*_BASE, *_DECAY, "--trainer.max_steps", "60", "--last.every_n_train_steps", "10"),
    "blocks of 50": (*_BASE, *_DECAY, *_BLOCKS),
    "blocks of 50, compiled": (*_BASE, *_DECAY, *_BLOCKS, "--trainer.compile", "true"),
    "GRU with dropout, plateaus, epochs": (
        *(*_BASE, "--model.network", "mm_lightning.networks.GRU", "--model.network.dropout", "0.3"),
        *("--model.lr_scheduler", "lightning.pytorch.cli.ReduceLROnPlateau", "--model.lr_scheduler.monitor"),
        *("val/loss", "--model.lr_scheduler.patience", "0", "--trainer.max_epochs", "9"),
    ),
    "validation in mid-epoch, at the step of a save": (
        *(*_BASE, *_DECAY, *_MIDDLE, "--trainer.max_steps", "60", "--last.every_n_train_steps", "14"),
    ),
    "epochs, gradients accumulated": (
        *(*_BASE, "--trainer.max_epochs", "3", "--trainer.accumulate_grad_batches", "3"),
        *("--last.every_n_train_steps", "4", "--trainer.val_check_interval", "12"),
    ),
}


def kill_at_rename(number, is_done):
    """Kill this process at its rename `number`, counted from 1, before or after the rename."""
    rename, count = Path.replace, iter(range(1, 1000))

    def replace(path, target):
        is_fatal = next(count) == number
        if is_fatal and not is_done:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(path, target)
        if is_fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        return Path(target)

    Path.replace = replace


def count_renames():
    """Write the number of renames of this process to the file `renames`, at each."""
    rename, count = Path.replace, iter(range(1, 1000))

    def replace(path, target):
        Path("renames").write_text(str(next(count)))
        return rename(path, target)

    Path.replace = replace


class Interrupted:
    """A run in a folder of its own, killed any number of times and then resumed to its end.

    Args:
        options: Command line of the fit.
        folder: Folder with words.txt.
    """

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.num_kills = 0

    def start(self, prepare=None):
        """Begin the run, or resume it from its last checkpoint."""
        resumed = ("--ckpt_path", "last") if self._has_checkpoint() else ()
        if not resumed:
            shutil.rmtree(self.folder / "lightning_logs", ignore_errors=True)
        return Command(*self.options, *resumed, cwd=self.folder, prepare=prepare)

    def _has_checkpoint(self):
        return (self.folder / "lightning_logs/version_0/checkpoints/last.ckpt").exists()

    def kill_after(self, seconds):
        command = self.start()
        time.sleep(seconds)
        command.process.kill()
        self._count(command)

    def kill_at_rename(self, number, is_done):
        self._count(self.start(partial(kill_at_rename, number, is_done)))

    def _count(self, command):
        result = command.wait(TIMEOUT)
        assert result.returncode in (0, -signal.SIGKILL), result.stderr
        self.num_kills += result.returncode != 0

    def finish(self):
        result = self.start().wait(TIMEOUT)
        assert result.returncode == 0, result.stderr
        assert "best checkpoint: lightning_logs/version_0/checkpoints/best.ckpt" in result.stdout
        return traces(self.folder / "lightning_logs/version_0")


def traces(run_folder):
    """All that a run leaves: both checkpoints, names of files, and all points that TensorBoard shows, by tag."""
    found = {path.name: torch.load(path, weights_only=True) for path in (run_folder / "checkpoints").glob("*.ckpt")}
    for content in found.values():
        config = content["callbacks"]["run_config"]
        config["config"] = yaml.safe_load(config["config"])
        for name in ("alphabet", "labels"):  # taken from the data at first, and from the checkpoint on resume
            del config["config"]["data"][name]
    events = EventAccumulator(str(run_folder), size_guidance={"tensors": 0})  # all points
    events.Reload()
    found["tensorboard"] = {
        tag: [(event.step, event.tensor_proto.SerializeToString()) for event in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
    }
    names = {path.relative_to(run_folder).as_posix() for path in run_folder.rglob("*") if path.is_file()}
    return {**found, "files": sorted(name for name in names if "tfevents" not in name)}


def uninterrupted(options, folder):
    """Traces of a run that is not killed, its seconds, and the number of its renames."""
    start = time.monotonic()
    result = run(*options, cwd=folder, timeout=TIMEOUT, prepare=count_renames)
    assert result.returncode == 0, result.stderr
    seconds = time.monotonic() - start
    return traces(folder / "lightning_logs/version_0"), seconds, int((folder / "renames").read_text())
