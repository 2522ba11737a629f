"""What a network makes of each window, as a table that fills while it is used.

A context of C characters has V^C windows: 19,683 for three letters, while a million names ask for seven million. So
each window is computed once, when it is first asked for, which is never more work than without a table. And when as
many have been asked for as there are, the missing ones are computed at once: few by few they would cost more.
"""

from collections.abc import Callable

import torch
from torch import Tensor

_CHUNK = 1024  # windows computed together


class WindowTable:
    """Rows of numbers for windows, each row made when it is first needed.

    Which windows are computed together hangs on what was asked for before, and on nothing else.

    Args:
        compute: Makes rows (N, V) float64, on the CPU, of windows (N, C).
        vocab_size: Number of ids V.
        block_size: Context C in characters.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], vocab_size: int, block_size: int) -> None:
        self._compute = compute
        self._vocab_size = vocab_size
        self._places = vocab_size ** torch.arange(block_size - 1, -1, -1)
        self._rows = torch.empty(vocab_size**block_size, vocab_size, dtype=torch.float64)  # takes memory as it fills
        self._is_known = torch.zeros(len(self._rows), dtype=torch.bool)
        self._asked = 0

    def advance(self, ids: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Rows (B, V) of the windows that ids (B, T) end, and the windows' numbers (B,), their ids as digits."""
        number = state[0] if state else ids.new_zeros(len(ids))
        for column in ids.unbind(1):
            number = (number * self._vocab_size + column) % len(self._rows)
        self._asked += len(number)
        is_known = self._is_known.index_select(0, number)
        if not is_known.all():
            self._fill(torch.unique(number[~is_known]))
        return self._rows.index_select(0, number), (number,)

    def rows(self) -> Tensor:
        """Rows (V^C, V) of all windows, in the order of their numbers."""
        self._fill((~self._is_known).nonzero().flatten())
        return self._rows

    def _fill(self, numbers: Tensor) -> None:
        """Make the rows of windows with these numbers (N,), or of all that are missing."""
        if self._asked > len(self._rows):
            numbers = (~self._is_known).nonzero().flatten()
        for part in torch.split(numbers, _CHUNK):
            self._rows[part] = self._compute(part[:, None] // self._places % self._vocab_size)
        self._is_known[numbers] = True
