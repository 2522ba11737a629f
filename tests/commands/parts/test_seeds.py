"""Seeds of `fit --seeds`: what is refused before the first training, and the spread after the last."""

import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from mm_lightning import UserError
from mm_lightning.commands.parts import seeds
from mm_lightning.commands.parts.seeds import Seeds
from mm_lightning.training.stop_signals import Stopped

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
    seeds._print_spread([Path("a"), Path("b")], "weighted by births")
    line = "val/loss of 2 seeds, weighted by births: mean 2.1000, standard deviation 0.1414\n"
    assert (line in capsys.readouterr().out) == is_shown


@pytest.mark.parametrize(
    ("stop", "expected"),
    [
        (Stopped(2), ["seeds not begun: 2; train them: the same command with --seed_everything=43 --seeds=2"]),
        (
            Stopped(2, 10, Path("last.ckpt")),
            ["seeds not begun: 1; train them: the same command with --seed_everything=44 --seeds=1"],
        ),
    ],
)
def test_a_stop_in_a_later_seed_names_the_seeds_to_train(monkeypatch, stop, expected):
    """Catches seeds that a stop loses while the second one reads its data, and seeds that are told twice."""
    lines: list[str] = []
    monkeypatch.setattr(seeds, "rank_zero_info", lines.append)

    def fit(options):
        given = dict(option.removeprefix("--").split("=") for option in options)
        own = Seeds(int(given.get("seed_everything", 42)), int(given.get("seeds", 3)))
        if own.first == 43 and stop.checkpoint is None:  # before training
            raise stop
        with own.telling_rest():
            if own.first == 43:
                raise stop
        return SimpleNamespace(trainer=SimpleNamespace(run_folder=None), seeds=own)

    with pytest.raises(Stopped):
        seeds.train_each(fit)
    assert lines == expected


def test_a_stop_before_the_first_state_loses_no_seed(monkeypatch):
    """Catches options that leave out a seed of which nothing is saved."""
    lines: list[str] = []
    monkeypatch.setattr(seeds, "rank_zero_info", lines.append)
    with pytest.raises(Stopped), Seeds(42, 3).telling_rest():
        raise Stopped(2)
    assert lines == []
