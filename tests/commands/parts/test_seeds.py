"""Seeds of `fit --seeds`: what is refused before the first training, and the spread after the last."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from mm_lightning import UserError
from mm_lightning.commands.parts import seeds
from mm_lightning.commands.parts.seeds import Seeds

ONE_DEVICE = SimpleNamespace(world_size=1)


def test_seeds_beyond_the_largest_are_refused():
    """Catches a second run that is refused for its seed when the first has trained."""
    Seeds(2**32 - 2, 2).check(ONE_DEVICE, None)
    with pytest.raises(UserError, match="--seeds 3 from --seed_everything 4294967294 leads beyond 4294967295"):
        Seeds(2**32 - 2, 3).check(ONE_DEVICE, None)


@pytest.mark.parametrize(("losses", "is_shown"), [([2.0, 2.2], True), ([math.inf, math.inf], False), ([], False)])
def test_infinite_losses_have_no_spread(monkeypatch, capsys, losses, is_shown):
    """Catches a traceback after the last run, where counts give an item of dev no chance."""
    monkeypatch.setattr(seeds, "best_loss", lambda run: dict(zip("ab", losses, strict=False)).get(run.name))
    monkeypatch.setattr(seeds.checkpoint, "load", lambda path: {"hyper_parameters": {}})
    monkeypatch.setattr(seeds.checkpoint, "foreign_classes", lambda settings: {})
    seeds._print_spread([Path("a"), Path("b")])
    assert ("mean 2.1000, standard deviation 0.1414" in capsys.readouterr().out) == is_shown
