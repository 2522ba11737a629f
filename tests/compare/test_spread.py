"""Spread over seeds and Welch's test: published numbers, limits, and groups of one seed."""

import math
import statistics

import numpy as np
import pytest

from mm_lightning.compare.spread import Spread, judge, two_sided_p


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    [
        (2.0, 1, 1 - 2 / math.pi * math.atan(2)),  # Cauchy
        (2.0, 2, 1 - 2 / math.sqrt(6)),
        (-2.776445, 4, 0.05),  # of printed tables
        (2.228139, 10, 0.05),
        (8.610302, 4, 0.001),
        (1.962339, 1000, 0.05),  # almost normal
        (0.0, 3.7, 1.0),
    ],
)
def test_the_tail_of_students_t(t: float, freedom: float, p: float):
    """Catches a tail of one side, and an integral that is too coarse for large values."""
    assert two_sided_p(t, freedom) == pytest.approx(p, rel=1e-5)


def test_welchs_test_has_the_error_rate_it_claims():
    """Catches degrees of freedom or a standard error of another test, where the spreads differ."""
    generator = np.random.default_rng(0)
    a, b = generator.normal(0, 1, (2000, 3)), generator.normal(0, 3, (2000, 5))
    false_alarms = sum(
        judge(Spread(tuple(x)), Spread(tuple(y))).is_more for x, y in zip(a.tolist(), b.tolist(), strict=True)
    )
    assert 0.03 < false_alarms / 2000 < 0.065


def test_welchs_test_of_two_known_groups():
    """Catches a variance over n and not n - 1: two groups of equal spread, whose t is known."""
    first, second = Spread((1.0, 2.0, 3.0)), Spread((3.0, 4.0, 5.0))
    assert (first.mean, first.variance) == (2.0, 1.0)
    found = judge(first, second)
    assert found.difference == 2.0
    assert found.p == pytest.approx(two_sided_p(2 / math.sqrt(2 / 3), 4))
    assert judge(first, second, num_pairs=3).p == pytest.approx(3 * (found.p or 0))
    assert judge(first, second, num_pairs=100).p == 1.0


def test_a_group_of_one_seed_takes_the_spread_of_the_other():
    """Catches a judgement that takes one seed for the mean of all."""
    several, one = Spread((2.0, 2.2, 2.1)), Spread((2.5,))
    for found in (judge(several, one), judge(one, several)):
        error = statistics.stdev(several.values) * math.sqrt(1 + 1 / 3)
        assert found.p == pytest.approx(two_sided_p(0.4 / error, 2))
    assert judge(one, Spread((2.6,))).p is None
    assert not judge(one, Spread((9.9,))).is_more


def test_a_network_without_chance_has_no_spread():
    """Catches counts that are judged as one seed of many, and a division by zero."""
    counted, several = Spread((1.9,), is_fixed=True), Spread((2.0, 2.2, 2.1))
    assert judge(counted, several).p == pytest.approx(two_sided_p(0.2 / math.sqrt(0.01 / 3), 2))
    assert judge(counted, Spread((2.0,))).p is None
    assert judge(counted, Spread((1.9,), is_fixed=True)).p == 1.0
    assert judge(counted, Spread((1.8,), is_fixed=True)).is_more
    assert judge(Spread((1.0, 1.0)), Spread((1.0, 1.0))).p == 1.0
