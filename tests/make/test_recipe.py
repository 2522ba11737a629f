"""The network that suits a list: a rule that must hold for lists of every size, and settings that must train."""

import math
from itertools import pairwise

import pytest

from mm_lightning.cli import application
from mm_lightning.make.recipe import Recipe, suited

SECONDS = 60
LENGTHS, VOCAB_SIZES = (1, 3, 7, 15, 100), (5, 27, 100, 2_000)
SIZES = [2, 40, 150, 500, 1_499, 1_500, 5_000, 30_000, 1_000_000, 10_000_000]


def steps(recipe: Recipe) -> int:
    return int(recipe.settings["trainer"]["max_steps"])


@pytest.mark.parametrize("num_items", SIZES)
def test_all_trainings_fit_in_a_minute(num_items: int):
    """Catches a horizon that grows with the list until the command takes minutes, and a schedule without a step."""
    for length in LENGTHS:
        for vocab_size in VOCAB_SIZES:
            recipe = suited(num_items, num_items * length, vocab_size, SECONDS)
            if recipe is None:
                continue
            trainings = (2 if num_items >= 1_500 else min(5, num_items) + 1) * recipe.copies
            assert steps(recipe) >= 5
            assert recipe.copies >= 1
            assert trainings * recipe.seconds < 66, (num_items, length, vocab_size)


def test_a_longer_list_is_seen_fewer_times():
    """Catches a list of thousands that is over-fitted, or one of fifty whose network learns nothing."""
    recipes = [suited(num_items, 7 * num_items, 27, SECONDS) for num_items in SIZES[1:]]
    assert all(recipes)
    epochs = [
        steps(recipe) * min(recipe.settings["data"]["batch_size"], num_items) / num_items
        for recipe, num_items in zip(recipes, SIZES[1:], strict=True)
    ]
    assert all(later < 1.3 * earlier for earlier, later in pairwise(epochs))  # batches grow in jumps
    assert 20 < epochs[0] < 60
    assert math.isclose(epochs[SIZES.index(30_000) - 1], 3, rel_tol=0.3)


def test_a_handful_of_characters_gets_no_network():
    """Catches a network for a list that says nothing about it."""
    assert suited(10, 80, 20, SECONDS) is None
    assert suited(10, 90, 20, SECONDS) is not None
    assert suited(10, 90, 20, max_seconds=0) is None


def test_a_schedule_has_room_to_rise_and_fall():
    """Catches a time in which 4 steps fit, where a rise over one step is refused."""
    recipes = [suited(200, 1_200, 27, max_seconds=n / 1_000) for n in range(1, 200)]
    horizons = {steps(recipe) for recipe in recipes if recipe is not None}
    assert min(horizons) == 5
    assert None in recipes


@pytest.mark.parametrize("num_items", [40, 600])
def test_the_settings_train(tmp_path, num_items: int):
    """Catches settings that the application refuses, and steps that the schedule does not span."""
    path = tmp_path / "list.txt"
    path.write_text("\n".join(f"{i:o}" for i in range(num_items)), encoding="utf-8")
    recipe = suited(num_items, 3 * num_items, 9, SECONDS)
    assert recipe is not None
    settings = recipe.settings
    trainer = {**settings["trainer"], "accelerator": "cpu", "logger": False, "enable_progress_bar": False}
    trainer |= {"max_steps": min(steps(recipe), 60), "default_root_dir": str(tmp_path), "enable_model_summary": False}
    built = application.build({**settings, "data": {**settings["data"], "path": str(path)}, "trainer": trainer})
    built.trainer.callbacks = []
    built.trainer.fit(built.model, datamodule=built.datamodule)
    assert built.trainer.global_step == trainer["max_steps"]
    (schedule,) = built.trainer.lr_scheduler_configs
    assert schedule.scheduler.total_steps == trainer["max_steps"]
