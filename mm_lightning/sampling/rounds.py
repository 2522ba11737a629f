"""Numbered pieces of work, shared out to the processes of a run, with the results in order in every process.

A piece depends on its number alone, so results are the same for any number of processes. Every process gets all
results, and so makes the same decisions on them: no process waits for a piece that another one leaves out.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch

T = TypeVar("T")
Share = tuple[int, int]  # number of this process, and number of processes
ALONE: Share = (0, 1)


class Rounds(Generic[T]):
    """Pieces of work in rounds; in a round every process works on one piece, and then all exchange their results.

    Args:
        work: Does the piece with a number.
        count: Number of pieces.
        share: Number of this process, and number of processes; each process asks for the same results.
    """

    def __init__(self, work: Callable[[int], T], count: int, share: Share = ALONE) -> None:
        self._work = work
        self._count = count
        self._rank, self._num_processes = share
        self._results: list[T] = []  # of the round

    def result(self, number: int) -> T:
        """Return the result of the piece with this number; the numbers are asked for from 0 on, in their order."""
        if self._num_processes == 1:
            return self._work(number)
        place = number % self._num_processes
        if place == 0:
            self._results = self._exchange(number + self._rank)
        return self._results[place]

    def _exchange(self, number: int) -> list[T]:
        """Do the piece with this number, if there is one, and return the results of all processes."""
        own = self._work(number) if number < self._count else None
        results: list[Any] = [None] * self._num_processes
        torch.distributed.all_gather_object(results, own)
        return results
