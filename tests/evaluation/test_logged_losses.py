"""Loss curves read back from event files."""

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from mm_lightning.evaluation.logged_losses import logged_losses


def test_curves_of_a_resumed_run_are_one(tmp_path):
    """Catches a second event file ignored, a step that is logged twice, and losses without a log."""
    with SummaryWriter(tmp_path) as writer:
        for step, loss in ((1, 4.0), (2, 7.0), (2, 3.0), (3, 9.0)):
            writer.add_scalar("train/loss", loss, step)
        writer.add_scalar("val/loss", np.inf, 2)
    with SummaryWriter(tmp_path, purge_step=3, filename_suffix=".second") as writer:
        for step, loss in ((3, 2.0), (4, 0.0), (5, 1.0)):
            writer.add_scalar("train/loss", loss, step)
        writer.add_scalar("other", 1.0, 1)
    curves = logged_losses(tmp_path)
    assert curves["train/loss"].steps.tolist() == [1, 2, 3, 5]
    assert curves["train/loss"].losses.tolist() == [4, 3, 2, 1]
    assert "val/loss" not in curves
    (tmp_path / "empty").mkdir()
    assert logged_losses(tmp_path / "empty") == {}


def test_curves_of_a_table(tmp_path):
    """Catches a run with a CSVLogger alone that has no curves, and a traceback for a damaged table."""
    (tmp_path / "metrics.csv").write_text("step,train/loss,val/loss\n10,3.5,\n1x,4,\n15\n20,3.0,2.9\n30,,inf\n")
    curves = logged_losses(tmp_path)
    assert curves["train/loss"].steps.tolist() == [10, 20]
    assert curves["val/loss"].losses.tolist() == [2.9]
    (tmp_path / "metrics.csv").write_bytes(b"step,val/loss\nx,\xff\n")
    assert logged_losses(tmp_path) == {}
