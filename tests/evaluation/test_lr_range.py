"""The learning-rate range test: its rates, its end, its curve and its suggestion."""

import numpy as np
import pytest

from mm_lightning.evaluation.lr_range import DivergenceCheck, RangeTest, learning_rates


@pytest.mark.parametrize("floor", [-2.5, -1.0])
def test_the_suggestion_is_where_the_floor_of_the_valley_begins(floor):
    """Catches a suggestion on the slope, in the middle of the floor, or misled by the noise of batches."""
    exponents = np.linspace(-4, 0, 1000)
    fall = np.maximum(floor - exponents, 0)
    rise = np.maximum(exponents - (floor + 0.8), 0)
    losses = 2.0 + 0.5 * fall + 3 * rise**2 + np.random.default_rng(0).normal(0, 0.2, 1000)
    found = RangeTest(10**exponents, losses)
    assert np.log10(found.suggestion) == pytest.approx(floor, abs=0.3)
    assert not found.is_still_falling


def test_smoothing_neither_lags_nor_bends_a_line():
    """Catches a running average, which shows the loss of lower rates, and ends that are pulled towards the middle."""
    exponents = np.linspace(-3, 0, 500)
    found = RangeTest(10**exponents, 2 - 0.3 * exponents)
    assert found.smoothed == pytest.approx(found.losses)
    assert found.is_still_falling


def test_a_loss_that_only_rises_has_no_valley():
    """Catches the first rate of the test suggested as a good one."""
    exponents = np.linspace(-3, 0, 500)
    with pytest.raises(ValueError, match=r"only rises from learning rate 0\.001 on; lower --min_exponent"):
        _ = RangeTest(10**exponents, 5 + exponents).suggestion


def test_rates_reach_from_the_first_exponent_to_the_last():
    """Catches a test that ends below its last rate, and curves that no longer match older ones."""
    rates = learning_rates((-3, 0), 100)
    assert (rates[0], len(rates)) == (10**-3, 100)
    assert rates[-1] == pytest.approx(1)
    assert np.log10(rates[1:]) == pytest.approx(np.linspace(-3 + 0.06, 0, 99))


def test_a_test_ends_far_above_its_least_running_average():
    """Catches an end at a single bad batch, at no loss at all, or at another loss than with Lightning's Tuner."""
    check = DivergenceCheck()
    assert not any(check.is_divergent(loss) for loss in [3.0] * 200)
    assert not check.is_divergent(30.0)
    averages, average, least = [], 0.0, np.inf
    check = DivergenceCheck()
    losses = np.linspace(3, 20, 300)
    for step, loss in enumerate(losses, 1):  # the Tuner's own formula
        average = 0.98 * average + 0.02 * loss
        smoothed = average / (1 - 0.98 ** (step + 1))
        averages.append(step > 1 and smoothed > 4 * least)
        least = min(least, smoothed)
    assert [check.is_divergent(loss) for loss in losses] == averages
    assert 10 < averages.index(True) < 290
