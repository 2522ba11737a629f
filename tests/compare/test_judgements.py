"""The text of a comparison: how items count in losses, and losses that are not finite."""

import math
from pathlib import Path

import pytest

from mm_lightning.compare.measuring import Measures
from mm_lightning.compare.runs import Group, Run
from mm_lightning.compare.text import MeasuredGroup, as_text, loss_note
from mm_lightning.export.facts import Loss


def measured(name: str, *losses: float, note: str = "", is_counted: bool = False) -> MeasuredGroup:
    """A group with the loss of each of its runs; runs of one note have the same data."""
    runs = [Run(f"{name}{seed}", Path(), None, seed, 1, {}, "a", "", {}) for seed in range(len(losses))]
    return MeasuredGroup(
        Group(name, runs), [Measures(9, is_counted, {"dev": Loss(loss, None, 5)}, {}, (note,), note) for loss in losses]
    )


def judgements(*groups: MeasuredGroup) -> list[str]:
    return [line for line in as_text(groups, has_test=False).splitlines() if line.startswith("dev")]


def test_an_infinite_loss_is_named_and_not_compared():
    """Catches a difference of inf or nan, and advice to train more seeds of counts that give an item no chance."""
    finite, infinite = measured("A", 2.0, 2.1), measured("B", math.inf, is_counted=True)
    line = "dev: B0 of B gives an item probability 0, so its loss is infinite and cannot be compared"
    assert judgements(finite, infinite) == judgements(infinite, finite) == [line]
    assert judgements(infinite, measured("C", math.inf, is_counted=True)) == [line, line.replace("B", "C")]
    assert judgements(measured("A", 2.0), measured("B", math.nan)) == [
        "dev: B0 of B has a loss of nan and cannot be compared"
    ]


def test_an_infinite_loss_leaves_the_other_groups_as_they_are():
    """Catches a best group that is none, chance that is counted for pairs without a test, and a spread of infinity."""
    a, b, c = measured("A", 2.0, 2.1), measured("B", 3.0, 3.1), measured("C", math.inf, 2.5)
    first, second = judgements(a, c, b)
    assert first == "dev: C0 of C gives an item probability 0, so its loss is infinite and cannot be compared"
    assert second == judgements(a, b)[0]
    assert second.startswith("dev: B is 1.0000 above A, more than the spread of seeds (p = ")
    assert "±" not in as_text([c], has_test=False).splitlines()[-1]


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        (["", ""], ""),
        (["weighted by births", "weighted by births"], "weighted by births"),
        (["weighted by births", "", ""], "of A weighted by births; of B, C unweighted"),
    ],
)
def test_each_group_has_its_own_weights(notes: list[str], expected: str):
    """Catches groups that are said to be weighted as the first one is."""
    groups = [measured(name, 2.0, note=note) for name, note in zip("ABC", notes, strict=False)]
    assert loss_note(groups) == expected
    assert f"loss in nats per target{expected and f', {expected}'}: mean ±" in as_text(groups, has_test=False)
