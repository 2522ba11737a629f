"""The lecture's numbers, from the whole recipe."""

import pytest
from run_command import FIT, run

from mm_lightning.data.files.reading import read_items
from mm_lightning.data.splits import split_items
from mm_lightning.evaluation.loss import score
from mm_lightning.training.module import LanguageModel


@pytest.mark.slow
def test_the_lecture_recipe_reaches_the_lecture_losses(tmp_path, makemore):
    """Catches what a short run does not show: a schedule off by its scale, a batch drawn twice, a drifting mean."""
    fitted = run(*FIT, "--data.path", makemore, cwd=tmp_path, timeout=3000)
    assert fitted.returncode == 0, fitted.stderr
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    model = LanguageModel.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).eval()
    splits = split_items(read_items(makemore), "lecture", str(makemore))
    for part, bar in ((splits.train, 2.14), (splits.dev, 2.175)):
        nll = score(model.network, model.vocabulary, part).double().sum().item()
        assert nll / (len(part) + len(part.code_points)) <= bar
