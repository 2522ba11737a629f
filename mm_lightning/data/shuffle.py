"""The shuffled order of the examples in each epoch.

A long order is computed part by part, so that the first batch of 80 million windows does not wait for the last. It is a
Feistel network (Luby and Rackoff 1988) on numbers of two digits, to a base of at least the root of the count. A number
beyond the count is mapped again until it is within (cycle walking, Black and Rogaway 2002).
"""

from functools import cached_property
from math import isqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_NUM_ROUNDS = 8
_MAX_WHOLE = 1 << 24  # examples of an order that is made at once, which takes a second
_PART = 1 << 20  # examples of a longer order, made at once


def systematic_counts(weights: Tensor, start: float) -> Tensor:
    """Count how often each example occurs in an epoch, by systematic resampling (Kitagawa 1996, appendix).

    The weights lie end to end on a line, and as many equidistant points as examples are put on the line. An example
    occurs as often as points lie on its weight: its share of the epoch, rounded up or down.

    Args:
        weights: (N,) positive weights.
        start: Position of the first point, in [0, 1) of the distance between two points.

    Returns:
        (N,) int64 counts, N in all.
    """
    borders = weights.double().cumsum(0)
    points_before = (borders * (len(weights) / float(borders[-1])) - start).ceil().long().clamp(0, len(weights))
    points_before[-1] = len(weights)  # whatever the rounding
    return points_before.diff(prepend=points_before.new_zeros(1))


class Shuffle:
    """A shuffled order of the numbers from 0 up to a count.

    Args:
        count: Number of numbers, at least 1.
        seed: Words of the seed.
    """

    def __init__(self, count: int, seed: list[int]) -> None:
        self._count = count
        self._base = np.uint64(isqrt(count - 1) + 1)
        self._keys = np.random.SeedSequence(seed).generate_state(_NUM_ROUNDS, np.uint64)

    def at(self, places: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The numbers (n,) at places (n,) of the order."""
        result = self._permuted(places)
        while (is_outside := result >= self._count).any():
            result[is_outside] = self._permuted(result[is_outside])
        return result

    def _permuted(self, places: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = np.divmod(places, self._base)
        for key in self._keys:
            left, right = right, (left + _hashed(right + key) % self._base) % self._base
        return left * self._base + right


def _hashed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits of 64-bit numbers, by the last steps of SplitMix64 (Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


class EpochShuffles:
    """The shuffles of all epochs, each a pure function of seed and epoch.

    With weights, an epoch has as many examples as without, and the expected number of times that it has an example is
    in proportion to the weight.

    Args:
        count: Number of examples.
        weights: (count,) weights of the examples; None for equal ones.
        seed: Seed of the shuffles.
    """

    def __init__(self, count: int, weights: Tensor | None, seed: int) -> None:
        self._count = count
        self._all_weights = weights
        self._seed = seed

    @property
    def most_at_once(self) -> int:
        """Largest number of places to ask for at once."""
        return self._count if self._is_whole else _PART

    def order(self, epoch: int, start: int, stop: int) -> Tensor:
        """Return the example numbers (stop - start,) at the places from `start` to `stop` of an epoch's order."""
        if not self._is_whole:
            places = np.arange(start, stop, dtype=np.uint64)
            return torch.from_numpy(Shuffle(self._count, [self._seed, epoch]).at(places).astype(np.int64))
        generator = torch.Generator()
        generator.manual_seed(int(np.random.SeedSequence([self._seed, epoch]).generate_state(1, np.uint64)[0] >> 1))
        order = torch.randperm(self._count, generator=generator, dtype=torch.int32)
        if self._weights is not None:
            point = float(torch.rand((), dtype=torch.float64, generator=generator))
            order = self._numbers.repeat_interleave(systematic_counts(self._weights, point)).index_select(0, order)
        return order[start:stop]

    @cached_property
    def _is_whole(self) -> bool:
        """Whether an order is made at once; one with weights always is."""
        return self._count <= _MAX_WHOLE or self._weights is not None

    @cached_property
    def _weights(self) -> Tensor | None:
        """Weights (count,) on the CPU, where all processes shuffle; None if all are equal."""
        weights = self._all_weights
        return None if weights is None or bool((weights == weights[0]).all()) else weights.cpu()

    @cached_property
    def _numbers(self) -> Tensor:
        return torch.arange(self._count, dtype=torch.int32)
