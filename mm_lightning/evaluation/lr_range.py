"""A learning-rate range test (Smith 2015, arXiv:1506.01186): its learning rates, its end, its curve, its suggestion."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SMOOTHING_DECADES = 0.2  # of the learning rate; standard deviation of the weights
_SMOOTHED_POINTS = 2000  # at most; straight lines between them
_LOSS_CEILING = 1.5  # multiple of the first loss
_REMAINING_DROP = 0.02  # fraction of the total loss drop
_DIVERGENCE_FACTOR = 4.0  # multiple of the least running average
_AVERAGE_DECAY = 0.98  # per step


def learning_rates(exponents: tuple[float, float], num_steps: int) -> list[float]:
    """List the learning rate of each step, in geometric progression between the first and the last.

    The second step skips one position of the progression, as in Lightning's Tuner, so that curves stay comparable.

    Args:
        exponents: First and last learning rate, as powers of 10.
        num_steps: Number of steps.
    """
    first, last = (10**exponent for exponent in exponents)
    return [first, *(first * (last / first) ** (position / num_steps) for position in range(2, num_steps + 1))]


class DivergenceCheck:
    """Check of each loss in turn: training diverges where the running average is far above its least value.

    The average counts a loss of 0 before the first step, as in Lightning's Tuner. The first average, and so the least
    value, is therefore about half the first loss.
    """

    def __init__(self) -> None:
        self._sum = 0.0
        self._weight = 1 - _AVERAGE_DECAY  # of that loss of 0
        self._least_average = math.inf

    def is_divergent(self, loss: float) -> bool:
        """Add the loss of the next step, which is finite; return whether training diverges."""
        self._sum = _AVERAGE_DECAY * self._sum + (1 - _AVERAGE_DECAY) * loss
        self._weight = _AVERAGE_DECAY * self._weight + (1 - _AVERAGE_DECAY)
        average = self._sum / self._weight
        is_divergent = average > _DIVERGENCE_FACTOR * self._least_average
        self._least_average = min(self._least_average, average)
        return is_divergent


@dataclass(frozen=True)
class RangeTest:
    """Losses of optimiser steps under a learning rate that rises from step to step.

    Args:
        rates: (n,) learning rate of each step, rising.
        losses: (n,) loss of the step's batches in nats per target, under the weights before the step.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]

    @cached_property
    def smoothed(self) -> NDArray[np.float64]:
        """(n,) losses after local linear regression on log10 of the rate, with normal weights (Cleveland 1979).

        A running average shows at each rate the losses of lower rates: rates 30% lower, in the Tuner with default
        settings. Losses are cut at a ceiling, else the last losses of a divergent test outweigh the valley.
        """
        exponents = np.log10(self.rates)
        losses = np.minimum(self.losses, _LOSS_CEILING * self.losses[0])
        is_long = len(exponents) > _SMOOTHED_POINTS
        places = np.linspace(exponents[0], exponents[-1], _SMOOTHED_POINTS) if is_long else exponents
        lines = [_local_line(place, exponents, losses) for place in places]  # each takes a pass over all losses
        return np.interp(exponents, places, lines)

    @property
    def suggestion(self) -> float:
        """Start of the valley's floor: the lowest rate with only a small fraction of the smoothed loss's drop left.

        The lecture reads the bottom of the valley by eye. On the flat floor, the noise of the batches moves the lowest
        point. The start of the floor is stable, and leaves room for higher rates.

        Measured with MLP and SGD of `configs/mlp.yaml`, seeds 0 to 3 and 42: the floor starts at 0.085 to 0.145, the
        lowest point is at 0.15 to 0.29. The Tuner's suggestion, the steepest point over the rate, is 0.0014 to 0.0018,
        where the test begins. The steepest point over log10 of the rate, 0.010 to 0.027, is where learning begins.

        Raises:
            UserError: If there is no valley.
        """
        start, lowest = self.smoothed[0], self.smoothed.min()
        if self.smoothed.argmin() == 0:
            raise UserError(
                f"the loss only rises from learning rate {self.rates[0]:.3g} on; "
                "lower --min_exponent or raise --num_steps"
            )
        return float(self.rates[np.argmax(self.smoothed <= lowest + _REMAINING_DROP * (start - lowest))])

    @property
    def is_still_falling(self) -> bool:
        """Whether the smoothed loss is lowest at the last rate; higher rates may then lower the loss further."""
        return bool(self.smoothed.argmin() == len(self.rates) - 1)

    def plot(self) -> "Figure":
        """Plot the loss over the learning rate, with the suggestion."""
        from mm_lightning.plots.lr_range import range_test_curve  # noqa: PLC0415 # imports torch, a second

        return range_test_curve(self.rates, self.losses, self.smoothed, self.suggestion)


def _local_line(exponent: float, exponents: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """Value at one exponent of the line fitted to the losses (n,) near it, by weighted least squares."""
    weights = np.exp(-0.5 * np.square((exponents - exponent) / _SMOOTHING_DECADES))
    weights /= weights.sum()
    mean_exponent, mean_loss = weights @ exponents, weights @ losses
    variance = weights @ np.square(exponents - mean_exponent)
    slope = weights @ ((exponents - mean_exponent) * losses) / variance
    return float(mean_loss + slope * (exponent - mean_exponent))
