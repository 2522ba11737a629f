"""A table of a network's outputs per window, filled on demand.

A context of C ids has V^C windows: 19,683 for three letters, while a million names read seven million windows. Each
window is computed once, on first use, so the table never costs more computation than none. Once the requests outnumber
the windows, all missing windows are computed together, since small batches cost more per window.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK = 512  # windows per call of `compute`: more would be many for a few items, fewer take longer for a whole table


class WindowTable:
    """Rows (V,) per window of C ids, each computed on first use.

    Which windows one call computes together depends on the earlier requests, but the rows do not: every call has
    equally many windows, as matrix products of another size round otherwise. So processes that share out the batches
    of a run sample the same items as one process. Room that the requested windows leave in a call is for windows that
    nobody requested yet.

    Args:
        compute: Maps windows (N, C) to rows (N, V) float64 on the CPU.
        vocab_size: Number of ids V.
        block_size: Context C in ids.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], vocab_size: int, block_size: int) -> None:
        self._compute = compute
        self._vocab_size = vocab_size
        self._digit_values = vocab_size ** torch.arange(block_size - 1, -1, -1)  # (C,)
        self._rows = torch.empty(vocab_size**block_size, vocab_size, dtype=torch.float64)  # uses memory as it fills
        self._is_known = torch.zeros(len(self._rows), dtype=torch.bool)
        self._num_requests = 0
        self._first_missing = 0  # the windows with lower numbers are known

    def advance(self, ids: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Look up the rows (B, V) of the windows that end with ids (B, T).

        The state is the number (B,) of each window, whose base-V digits are the ids of the window.
        """
        number = state[0] if state else ids.new_zeros(len(ids))
        for column in ids.unbind(1):
            number = (number * self._vocab_size + column) % len(self._rows)
        self._num_requests += len(number)
        is_known = self._is_known.index_select(0, number)
        if not is_known.all():
            self._fill(torch.unique(number[~is_known]))
        return self._rows.index_select(0, number), (number,)

    def rows(self) -> Tensor:
        """Compute the missing rows and return all rows (V^C, V), in the order of the window numbers."""
        self._fill((~self._is_known).nonzero().flatten())
        return self._rows

    def _fill(self, numbers: Tensor) -> None:
        """Compute the rows of the windows with these numbers (N,), and of others where the calls have room.

        After many requests, all missing rows are computed.
        """
        first, last = self._first_missing, self._first_missing - len(numbers) % -_CHUNK
        if self._num_requests > len(self._rows):
            last = len(self._rows)
        others = first + (~self._is_known[first:last]).nonzero().flatten()
        numbers = torch.unique(torch.cat([numbers, others]))
        for chunk in torch.split(numbers, _CHUNK):
            padded = F.pad(chunk, (0, _CHUNK - len(chunk)))
            rows = self._compute(padded[:, None] // self._digit_values % self._vocab_size)
            self._rows[chunk] = rows[: len(chunk)]
        self._is_known[numbers] = True
        self._first_missing = last
