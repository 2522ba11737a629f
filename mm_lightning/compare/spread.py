"""Spread of a loss over seeds, and whether a difference of two losses is more than it.

Welch's t-test (Welch 1947) compares the means of two groups of runs whose spreads can differ. Colas, Sigaud and Oudeyer
2018, "How Many Random Seeds?", recommend the test for few seeds. A rule of thumb such as two standard deviations knows
nothing of the number of seeds. The tail of Student's t is integrated here, since SciPy would be one more dependency.
"""

import math
import statistics
from dataclasses import dataclass

import numpy as np

_MAX_P = 0.05  # of a difference that counts as more than the spread
_POINTS = 20_001  # of the integral; its error is below 1e-8


@dataclass(frozen=True)
class Spread:
    """Mean and spread of a measure over seeds.

    Args:
        values: The measure of each seed, at least one.
        is_fixed: Whether seeds change nothing, as in a counted network.
    """

    values: tuple[float, ...]
    is_fixed: bool = False

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def variance(self) -> float | None:
        """Variance, estimated from the seeds (n - 1); None for one seed, or where a value is not finite."""
        if self.is_fixed:
            return 0.0
        return statistics.variance(self.values) if len(self.values) > 1 and math.isfinite(self.mean) else None


@dataclass(frozen=True)
class Judgement:
    """Whether a difference is more than the spread of seeds.

    Args:
        difference: Mean of the second group minus mean of the first.
        p: Probability of a difference as large if only seeds differ; None where the seeds are too few.
    """

    difference: float
    p: float | None

    @property
    def is_more(self) -> bool:
        """Whether the difference is more than the spread of seeds."""
        return self.p is not None and self.p < _MAX_P


def two_sided_p(t: float, freedom: float) -> float:
    """Compute the probability that Student's t of `freedom` degrees, at least 1, is beyond t on either side.

    With t = sqrt(freedom) * tan(u), the density of u is proportional to cos(u) ** (freedom - 1).
    """

    def integral(start: float) -> float:
        u = np.linspace(start, math.pi / 2, _POINTS)
        return float(np.trapezoid(np.cos(u).clip(0) ** (freedom - 1), u))

    return integral(math.atan(abs(t) / math.sqrt(freedom))) / integral(0)


def judge(first: Spread, second: Spread, num_pairs: int = 1) -> Judgement:
    """Judge the difference of two groups; a group of one seed is judged by the other's spread.

    Args:
        first: A measure of the first group, finite for each seed.
        second: The same measure of the second group.
        num_pairs: Number of pairs that are looked at; p is multiplied by it (Bonferroni), as chance has more tries.
    """
    difference = second.mean - first.mean
    squares, freedom = _error(first, second)
    if squares is None:
        return Judgement(difference, None)
    if squares == 0:
        return Judgement(difference, 0.0 if difference else 1.0)
    return Judgement(difference, min(1.0, num_pairs * two_sided_p(difference / math.sqrt(squares), freedom)))


def _error(first: Spread, second: Spread) -> tuple[float | None, float]:
    """The squared standard error of a difference of means, None where it is not known; and its degrees of freedom."""
    pair = (first, second)
    known = [(spread, spread.variance) for spread in pair if spread.variance is not None]
    estimated = [(variance, len(spread.values)) for spread, variance in known if not spread.is_fixed]
    if not estimated:
        return (0.0 if len(known) == len(pair) else None), 1.0
    if len(known) < len(pair):  # the other group has one seed
        (variance, size), *_ = estimated
        return variance * (1 / size + 1), size - 1.0
    squares = sum(variance / size for variance, size in estimated)
    rest = sum((variance / size) ** 2 / (size - 1) for variance, size in estimated)
    return squares, squares**2 / rest if rest else 1.0
