"""The plan of a search: its name, its number of trials, and the settings at a point."""

import pytest
from sweep_cases import BASE, GRID, HIDDEN, RATE

from mm_lightning import UserError


def test_a_point_overrules_the_command_line_and_the_file(plan):
    """Catches settings that leak from one trial into the next, and a command line that the file overrules."""
    planned = plan({"data.batch_size": 6}, fixed={"data.batch_size": 7, "trainer.max_steps": 30})
    settings = planned.settings({HIDDEN: 8, RATE: 0.5})
    assert settings["model"]["network"]["init_args"] == {"block_size": 2, "embed_dim": 3, "hidden_dim": 8}
    assert settings["model"]["optimizer"]["init_args"] == {"lr": 0.5}
    assert settings["data"] == {"batch_size": 6, "path": "words.txt"}
    assert settings["trainer"] == {"max_steps": 30, "steps_per_execution": 10}
    assert planned.base == BASE
    assert planned.settings({})["model"] == BASE["model"]


def test_an_argument_of_a_class_has_two_spellings(plan):
    """Catches an argument beside the class, which no parser takes, and a value that the other spelling overrules."""
    short = RATE.replace(".init_args", "")
    planned = plan({short: 0.5}, space={HIDDEN.replace(".init_args", ""): {"int": [4, 16]}}, fixed={RATE: 0.1})
    assert planned.settings({})["model"]["optimizer"] == {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.5}}
    assert planned.space.keys() == planned.identity["space"].keys() == {HIDDEN}
    with pytest.raises(UserError, match=rf"{RATE} is fixed and stands in space too"):
        plan({short: 0.5})
    with pytest.raises(UserError, match=rf"space has {RATE} twice; leave one out"):
        plan(space={short: {"choice": [1]}, RATE: {"choice": [2]}})


@pytest.mark.parametrize(
    ("overrides", "options"),
    [
        ({"trainer.callbacks+": "EMAWeightAveraging", "trainer.callbacks.decay": 0.9}, {}),
        ({}, {"fixed": {"trainer.callbacks+": "EMAWeightAveraging"}}),
        ({}, {"space": {"trainer.callbacks+": {"choice": ["EMAWeightAveraging"]}}}),
    ],
)
def test_a_key_that_appends_is_refused(plan, overrides, options):
    """Catches trials without the options of a callback, and trials on the appended list alone."""
    message = (
        r"^trainer\.callbacks\+ appends to a list, .*; put the list into base, or give trainer\.callbacks with all"
    )
    with pytest.raises(UserError, match=message):
        plan(overrides, **options)


@pytest.mark.parametrize(("trials", "expected"), [(None, 6), (4, 4), (100, 6)])
def test_a_grid_has_no_more_trials_than_points(plan, trials, expected):
    """Catches a grid that is searched twice, or that ignores the number of trials."""
    assert plan(space=GRID, sampler="grid", trials=trials).num_trials == expected


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", ".hidden"])
def test_a_name_must_suit_a_folder(plan, name):
    """Catches a study outside lightning_sweeps, or one that no listing shows."""
    with pytest.raises(UserError, match="name is"):
        plan(name=name)
