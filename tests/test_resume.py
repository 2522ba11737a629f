"""A run that was stopped and resumed is the run that was not, bit for bit."""

import math
from pathlib import Path

import pytest
import torch

from mm_lightning.cli import main

STEPS = 60  # two epochs of 23 steps and a part of a third


@pytest.fixture
def words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"{a}{b}{c}" for a in "bdk" for b in ("a", "ei", "o") for c in ("n", "lla", "s", "")))
    return path


def fit(words, *options, steps=STEPS, every=1000):
    main(
        [
            *("fit", "--data.path", str(words), "--data.batch_size", "5", "--model.network.class_path"),
            *("dropout_mlp.DropoutMLP", "--model.optimizer", "torch.optim.Adam", "--model.optimizer.lr", "0.01"),
            *("--model.lr_scheduler", "torch.optim.lr_scheduler.ExponentialLR", "--model.lr_scheduler.gamma", "0.99"),
            *("--trainer.max_steps", str(steps), "--last.every_n_train_steps", str(every), *options),
        ]
    )


def last(run="version_0"):
    return torch.load(Path("lightning_logs") / run / "checkpoints/last.ckpt", weights_only=True)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


class Killed(BaseException):
    """What no handler expects: the state of the process is lost."""


@pytest.mark.parametrize("step", [1, 7, 22, 23, 24, 30, 45, 46, 47, 59])
def test_resumed_run_equals_uninterrupted_run(words, monkeypatch, step):
    """Catches a lost position, shuffle, random state, schedule or momentum, at, before and after an epoch's end."""
    fit(words)
    fit(words, steps=step)
    fit(words, "--ckpt_path", "last")
    whole, resumed = last(), last("version_1")
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "train_loss"):
        assert equal(whole[key], resumed[key]), key
    position = "WordsDataModule"
    assert whole[position] == resumed[position]
