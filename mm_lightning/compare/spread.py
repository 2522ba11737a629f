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
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values)

    @property
    def deviation(self) -> float | None:
        """Standard deviation, estimated from the seeds (n - 1); None for one seed."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Judgement:
    """Whether a difference is more than the spread of seeds.

    Args:
        difference: Mean of the second group minus mean of the first.
        p: Probability of a difference as large if only seeds differ; None where no group has two seeds.
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
        first: A measure of the first group.
        second: The same measure of the second group.
        num_pairs: Number of pairs that are looked at; p is multiplied by it (Bonferroni), as chance has more tries.
    """
    difference = second.mean - first.mean
    groups = [spread for spread in (first, second) if len(spread.values) > 1]
    if not groups:
        return Judgement(difference, None)
    sizes = len(first.values), len(second.values)
    variances = [statistics.variance(group.values) for group in groups]
    if len(groups) == 1:
        squares, freedom = variances[0] * (1 / sizes[0] + 1 / sizes[1]), len(groups[0].values) - 1.0
    else:
        parts = [variance / size for variance, size in zip(variances, sizes, strict=True)]
        squares = sum(parts)
        rest = sum(part**2 / (size - 1) for part, size in zip(parts, sizes, strict=True))
        freedom = squares**2 / rest if rest else 1.0
    if squares == 0:  # seeds change nothing, as in a counted network
        return Judgement(difference, 0.0 if difference else 1.0)
    return Judgement(difference, min(1.0, num_pairs * two_sided_p(difference / math.sqrt(squares), freedom)))
