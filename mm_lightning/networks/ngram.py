"""N-grams by counting: the first lecture's bigram table, and longer contexts with the smoothing that makes them useful.

Only n-grams that occur are kept, sorted by a number made of their ids, so five characters of context cost no more
memory than the data have. Probabilities are computed in double precision.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.base import CountedNetwork


def look_up(keys: Tensor, values: Tensor, wanted: Tensor) -> Tensor:
    """Values (...) at wanted keys (...), 0 where a key is absent; keys (K,) are sorted."""
    if not len(keys):
        return torch.zeros_like(wanted, dtype=values.dtype)
    place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return values[place].where(keys[place] == wanted, 0)


def add_up(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Keys (K,) sorted and each once, and the sum of the values that each came with."""
    distinct, place = torch.unique(keys, return_inverse=True)
    return distinct, torch.zeros_like(distinct, dtype=values.dtype).index_add_(0, place, values)


class NGramCounts(CountedNetwork):
    """How often each n-gram occurs; what follows from that is up to the subclasses.

    Args:
        vocab_size: Number of ids V.
        block_size: Context C in characters.

    Raises:
        UserError: If n-grams of this length cannot be numbered in 63 bits.
    """

    grams: Tensor  # (K,) int64, sorted: the ids of an n-gram as digits of base V
    counts: Tensor  # (K,) int64

    def __init__(self, vocab_size: int, block_size: int) -> None:
        super().__init__(block_size)
        if vocab_size ** (block_size + 1) >= 1 << 63:
            raise UserError(f"block_size is {block_size}; that is too long to count over {vocab_size} ids")
        self.vocab_size = vocab_size
        self.register_buffer("grams", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int64))

    def count(self, x: Tensor, y: Tensor) -> None:
        """Add examples, windows x (N, C) and what follows them y (N,), to the counts."""
        grams = self._number(torch.cat([x, y[:, None]], 1))
        self.grams, self.counts = add_up(
            torch.cat([self.grams, grams]), torch.cat([self.counts, torch.ones_like(grams)])
        )

    def _number(self, ids: Tensor) -> Tensor:
        """Numbers (N,) of n-grams ids (N, n)."""
        number = ids.new_zeros(len(ids))
        for column in ids.unbind(1):
            number = number * self.vocab_size + column
        return number

    def _continued(self, context: Tensor) -> Tensor:
        """Numbers (N, V) of contexts (N, n), each followed by every id."""
        return self._number(context)[:, None] * self.vocab_size + torch.arange(self.vocab_size, device=context.device)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        """Make room first: how many n-grams there are depends on the data."""
        for name in ("grams", "counts"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.device))
        super()._load_from_state_dict(state_dict, prefix, *args)


class NGram(NGramCounts):
    """Predict the next character as often as it followed this context in training, plus a little.

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.
        block_size: Context C in characters: 1 for bigrams.
        smoothing: Added to every count, 0 or more. With 0, what was never seen has an infinite NLL.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits, float64.

    Raises:
        UserError: If the smoothing is negative.
    """

    def __init__(self, vocab_size: int, block_size: int = 1, smoothing: float = 1.0) -> None:
        super().__init__(vocab_size, block_size)
        if smoothing < 0:
            raise UserError(f"smoothing is {smoothing}; it must be 0 or more")
        self.smoothing = smoothing

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, V) of windows x (N, C)."""
        counts = look_up(self.grams, self.counts, self._continued(x)).double() + self.smoothing  # (N, V)
        sums = counts.sum(1, keepdim=True)
        return torch.where(sums > 0, counts / sums, 1 / self.vocab_size).log()  # a new context tells nothing


@dataclass(frozen=True)
class _Order:
    """Counts of one n-gram length, as Kneser and Ney count."""

    keys: Tensor  # (K,) int64
    counts: Tensor  # (K,) int64
    discounts: Tensor  # (4,) float64, taken from counts of 0, 1, 2 and more


class KneserNey(NGramCounts):
    """Predict by n-grams of every length up to C + 1, longer ones first (Kneser and Ney 1995).

    Interpolated, with three discounts for each length estimated from the counts themselves, so there is nothing to
    choose (Chen and Goodman 1999, "modified Kneser-Ney"). A shorter n-gram counts once for each character it was seen
    behind, not for each time.

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.
        block_size: Context C in characters.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits, float64.
    """

    def __init__(self, vocab_size: int, block_size: int = 5) -> None:
        super().__init__(vocab_size, block_size)
        self._orders: list[_Order] = []  # made of the counts when they are first needed

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, V) of windows x (N, C)."""
        if not self._orders or self._orders[0].keys.device != self.grams.device:
            self._orders = self._make_orders()
        result = x.new_full((len(x), self.vocab_size), 1 / self.vocab_size, dtype=torch.float64)
        for n, order in enumerate(self._orders):
            counts = look_up(order.keys, order.counts, self._continued(x[:, self.block_size - n :]))  # (N, V)
            taken = order.discounts[counts.clamp(max=3)]
            sums = counts.sum(1, keepdim=True)
            seen = (counts - taken + taken.sum(1, keepdim=True) * result) / sums
            result = seen.where(sums > 0, result)
        return result.log()

    def count(self, x: Tensor, y: Tensor) -> None:
        """As the base says."""
        super().count(x, y)
        self._orders = []

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._orders = []

    def _make_orders(self) -> list[_Order]:
        """Counts for contexts of 0 to C characters."""
        keys, raw = self.grams, self.counts
        counts = raw
        longest_first = []
        for n in range(self.block_size, -1, -1):
            new = keys >= self.vocab_size ** (n - 1) if n > 1 else keys >= 0  # two boundaries say no more than one
            longest_first.append(_Order(keys[new], counts[new], _discounts(counts[new])))
            if n:
                shorter = keys % self.vocab_size**n
                behind = add_up(shorter, torch.ones_like(raw))[1]
                keys, raw = add_up(shorter, raw)
                begins_word = keys // self.vocab_size ** (n - 1) == BOUNDARY
                counts = raw.where(begins_word, behind) if n > 1 else behind  # nothing stands behind a beginning
        return longest_first[::-1]


def _discounts(counts: Tensor) -> Tensor:
    """What to take (4,) from counts of 0, 1, 2 and more: Chen and Goodman 1999, equation 17.

    Where too few counts are small to estimate it, a half of the count, as KenLM has it.
    """
    n = counts.bincount(minlength=5)[1:5].double()  # how many n-grams occur once, twice, ...
    times = torch.arange(1, 4, device=n.device)
    estimate = times - (times + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
    estimate = estimate.where(estimate.isfinite(), times / 2).clamp(min=0.1).minimum(times)
    return torch.cat([estimate.new_zeros(1), estimate])
