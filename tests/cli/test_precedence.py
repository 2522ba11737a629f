"""The settings that a command takes from a checkpoint."""

from pathlib import Path

import pytest

from mm_lightning.cli.options.precedence import defaults
from mm_lightning.training.checkpoint import Checkpoint


@pytest.mark.parametrize(("command", "seed"), [("fit", 7), ("plot", 7), ("lr_find", None), ("validate", None)])
def test_steps_after_those_of_a_run_have_its_seed(command: str, seed: int | None):
    """Catches updates in a picture that are those of another order of the batches than the run's."""
    ckpt = Checkpoint(Path("last.ckpt"), model={}, data={"seed": 7, "path": "a.txt"}, config={}, step=1, epoch=0)
    settings = defaults(ckpt, command, is_resumed=True)
    assert settings.get("seed_everything") == seed
    assert settings["data.path"] == "a.txt"
    assert "data.seed" not in settings
