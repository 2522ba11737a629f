"""The lecture's numbers, from the whole recipe."""

import re

import pytest
from commands import FIT, run


@pytest.mark.slow
def test_the_lecture_recipe_reaches_the_lecture_losses(tmp_path, makemore):
    """Catches whatever a short run does not show: a schedule off by its scale, a batch drawn twice, a drifting mean."""
    fitted = run(*FIT, "--data.path", makemore, cwd=tmp_path, timeout=1800)
    assert fitted.returncode == 0, fitted.stderr
    validated = run("validate", "--ckpt_path", "last", cwd=tmp_path)
    assert float(re.search(r"val/loss\s+(\d\.\d+)", validated.stdout)[1]) <= 2.175
    train = re.findall(r"train/loss (\d\.\d+)", fitted.stdout)[-2:]
    assert all(float(loss) <= 2.2 for loss in train)
