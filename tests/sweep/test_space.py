"""The space of a search: its forms in YAML, and the points of its grid."""

import re

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mm_lightning import UserError
from mm_lightning.sweep.space import extremes, grid_points, grid_size, parse_space

BAD_SPACES = [
    ({}, "space is empty"),
    ({"a": {}}, "space a: cannot be read; give {int"),
    ({"a": {"int": [1, 2], "foo": 1}}, "space a: cannot be read: foo"),
    ({"a": {"int": [1, 2], "float": [1, 2]}}, "space a: cannot be read"),
    ({"a": {"int": 3}}, "space a: int is 3; give a list"),
    ({"a": {"int": [1, 2.5]}}, "space a: int is [1, 2.5]; give two whole numbers"),
    ({"a": {"int": [1, 2], "step": 0.5}}, "space a: int is [1, 2], step 0.5; give two whole numbers"),
    ({"a": {"int": [True, 2]}}, "give two whole numbers"),
    ({"a": {"float": [1]}}, "space a: float is [1]; give two numbers"),
    ({"a": {"float": [0, float("inf")]}}, "give two numbers"),
    ({"a": {"float": [1, 10**400]}}, "give two numbers"),
    ({"a": {"float": [2, 1]}}, "space a: float is [2, 1], low above high"),
    ({"a": {"float": [0, 1], "log": True}}, "space a: float is [0, 1], which has no logarithm"),
    ({"a": {"float": [1, 2], "log": 1}}, "space a: log is 1; give true or false"),
    ({"a": {"int": [1, 9], "log": True, "step": 2}}, "space a: log and step exclude each other"),
    ({"a": {"int": [1, 8], "step": 2}}, "space a: step is 2; it must be above 0 and lead from 1 to 8"),
    ({"a": {"choice": []}}, "space a: choice is empty"),
    ({"a": {"choice": [1, 1]}}, "space a: choice has a value twice"),
    ({"a": {"choice": [1, True]}}, "space a: choice has a value twice"),
    ({"a": {"choice": [[1]]}}, "space a: choice has [1]; give numbers"),
    ({"a": {"choice": [1, 2], "log": True}}, "space a: log has no meaning for a choice"),
]


@pytest.mark.parametrize(("space", "message"), BAD_SPACES)
def test_an_invalid_space_is_refused(space, message):
    """Catches a search over another space than its file describes, and a message that does not name the key."""
    with pytest.raises(UserError, match=re.escape(message)):
        parse_space(space)


def test_each_form_becomes_its_distribution():
    """Catches ends, steps or kinds mixed up."""
    forms = {
        "a": {"int": [1, 9], "step": 4},
        "b": {"float": [0.1, 10], "log": True},
        "c": {"choice": [None, "x"]},
        "d": {"int": [1, 9]},
        "e": {"float": [0, 1], "step": 0.25},
    }
    assert parse_space(forms) == {
        "a": IntDistribution(1, 9, step=4),
        "b": FloatDistribution(0.1, 10, log=True),
        "c": CategoricalDistribution([None, "x"]),
        "d": IntDistribution(1, 9),
        "e": FloatDistribution(0, 1, step=0.25),
    }


def test_extremes_are_the_ends_of_a_range_and_all_of_a_choice():
    """Catches values that no trial is checked with before the search."""
    space = parse_space({"a": {"int": [1, 9]}, "b": {"float": [0.1, 10]}, "c": {"choice": [3, 1, 2]}})
    assert [extremes(distribution) for distribution in space.values()] == [[1, 9], [0.1, 10], [3, 1, 2]]


def test_a_grid_has_every_combination_once():
    """Catches a corner that is left out, and an order that tries one value of a setting for the first half."""
    space = parse_space(
        {"a": {"int": [1, 9], "step": 4}, "b": {"float": [0.1, 0.3], "step": 0.1}, "c": {"choice": [0, "x"]}}
    )
    points = grid_points(space, seed=1)
    assert grid_size(space) == len(points) == 18
    expected = {(a, b, c) for a in (1, 5, 9) for b in (0.1, 0.2, 0.3) for c in (0, "x")}
    assert {(point["a"], point["b"], point["c"]) for point in points} == expected
    assert len({point["a"] for point in points[:6]}) > 1
    assert points == grid_points(space, seed=1) != grid_points(space, seed=2)


def test_points_of_a_grid_differ_however_small_the_step():
    """Catches small numbers that are rounded to zero."""
    points = grid_points(parse_space({"a": {"float": [1e-13, 3e-13], "step": 1e-13}}), seed=0)
    assert sorted(point["a"] for point in points) == [1e-13, 2e-13, 3e-13]


@pytest.mark.parametrize(
    "form", [{"float": [0, 1]}, {"int": [1, 8], "log": True}, {"int": [1, 1_000_000]}, {"int": [1, 10**15]}]
)
def test_a_grid_without_end_is_refused(form):
    """Catches a grid that silently tries the ends of a range only, or one that would take years."""
    with pytest.raises(UserError, match="sampler: tpe"):
        grid_size(parse_space({"a": form}))
