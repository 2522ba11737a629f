"""Paths in a checkpoint: relative to the run folder, so that a moved run finds its files."""

from pathlib import Path

import pytest
import torch

from mm_lightning.training.checkpoint.lightning_io import absolute_paths, relative_paths


@pytest.mark.parametrize("place", ["lightning_logs/version_3/checkpoints", "elsewhere"])
def test_paths_move_with_the_run(tmp_path: Path, place: str):
    """Catches a path that leads to where the run was, or a key, a number or a text that is changed."""
    here, there = (tmp_path / name / place / "last.ckpt" for name in ("here", "there"))
    best = here.parent / "best.ckpt"
    states = {
        "saver": {"best_model_path": str(best), "best_k_models": {str(best): torch.tensor(2.0)}, "last_model_path": ""},
        "other": {"texts": ["a/b", "val/loss"], "outside": str(tmp_path / "data/x"), "number": 3, "nothing": None},
    }
    saved = relative_paths(states, here)
    assert str(tmp_path) not in repr(saved)
    assert absolute_paths(saved, here) == states
    moved = absolute_paths(saved, there)
    assert moved["saver"]["best_model_path"] == str(there.parent / "best.ckpt")
    assert list(moved["saver"]["best_k_models"]) == [str(there.parent / "best.ckpt")]
    assert moved["other"]["texts"] == ["a/b", "val/loss"]
    assert relative_paths(saved, there) == saved  # states that are saved again elsewhere
