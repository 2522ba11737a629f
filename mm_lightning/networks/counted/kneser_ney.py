"""Interpolated n-grams of every length: Kneser-Ney counts, and the discounts of Chen and Goodman."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from mm_lightning.data.ranges import Context
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.counted.ngram import NGramCounts, look_up, sum_by_key


@dataclass(frozen=True)
class OrderCounts:
    """Kneser-Ney counts of one n-gram length.

    Args:
        keys: (K,) int64, the n-grams as numbers, sorted.
        counts: (K,) int64. The longest n-grams count occurrences; a shorter one counts the distinct tokens before it,
            or its occurrences where it begins an item.
        occurrences: (K,) int64.
    """

    keys: Tensor
    counts: Tensor
    occurrences: Tensor


@dataclass(frozen=True)
class Smoothing:
    """Share of an n-gram length that goes to the shorter n-grams.

    The probability of a token with count c after a context is (c - d(c) + (s + sum of d) * p) / (sum of c + s), where p
    is the probability after the shorter context, and both sums are over the tokens.

    Args:
        discounts: (4,) float64 d, subtracted from counts of 0, 1, 2 and more than 2.
        strength: () float64 s, a number of pseudo-counts.
    """

    discounts: Tensor
    strength: Tensor


class KneserNey(NGramCounts):
    """Predict the next token by interpolated n-grams of every length up to C + 1 (Kneser and Ney 1995).

    Modified Kneser-Ney smoothing (Chen and Goodman 1999): three discounts per length are estimated from the counts, so
    no setting is needed. A shorter n-gram counts the distinct tokens before it, not its occurrences.

    Args:
        vocab_size: Number of ids V, set from the data.
        block_size: Context C in tokens.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits, float64.

    Raises:
        UserError: If `block_size` is too long to count.
    """

    def __init__(self, vocab_size: int, block_size: Context = 5) -> None:
        super().__init__(vocab_size, block_size)
        self._orders: list[tuple[OrderCounts, Smoothing]] = []  # shortest n-grams first; computed on first use

    @override
    def forward(self, x: Tensor) -> Tensor:
        result = x.new_full((len(x), self.vocab_size), 1 / self.vocab_size, dtype=torch.float64)
        for n, (order, smoothing) in enumerate(self._smoothed_orders()):
            grams = self._number_continuations(x[:, self.block_size - n :])  # (N, V)
            counts = look_up(order.keys, order.counts, grams)  # (N, V)
            discounts = smoothing.discounts[counts.clamp(max=3)]
            sums = counts.sum(1, keepdim=True)
            shorter = (discounts.sum(1, keepdim=True) + smoothing.strength) * result
            result = ((counts - discounts + shorter) / (sums + smoothing.strength)).where(sums > 0, result)
        return result.log()

    def _smoothed_orders(self) -> list[tuple[OrderCounts, Smoothing]]:
        if not self._orders or self._orders[0][0].keys.device != self.grams.device:
            orders = self.order_counts()
            self._orders = list(zip(orders, self.smoothings(orders), strict=True))
        return self._orders

    @override
    def count(self, x: Tensor, y: Tensor) -> None:
        super().count(x, y)
        self._orders = []

    @override
    def resize(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        super().resize(state_dict, prefix)
        self._orders = []

    def order_counts(self) -> list[OrderCounts]:
        """Compute the counts for contexts of 0 to C tokens."""
        keys, occurrences = self.grams, self.counts
        counts = occurrences
        longest_first = []
        for n in range(self.block_size, -1, -1):  # n ids of context
            # n-grams that begin with two boundaries are left out: the shorter n-gram says the same
            is_used = keys >= self.vocab_size ** (n - 1) if n > 1 else keys >= 0
            longest_first.append(OrderCounts(keys[is_used], counts[is_used], occurrences[is_used]))
            if n:
                suffixes = keys % self.vocab_size**n  # without the first id
                predecessors = sum_by_key(suffixes, torch.ones_like(occurrences))[1]  # distinct ids before a suffix
                keys, occurrences = sum_by_key(suffixes, occurrences)
                begins_item = keys // self.vocab_size ** (n - 1) == BOUNDARY
                # no token stands before the beginning of an item, so its occurrences count
                counts = occurrences.where(begins_item, predecessors) if n > 1 else predecessors
        return longest_first[::-1]

    def smoothings(self, orders: list[OrderCounts]) -> list[Smoothing]:
        """Choose the smoothing of each n-gram length."""
        return [Smoothing(discounts := _discounts(order.counts), discounts.new_zeros(())) for order in orders]


def _discounts(counts: Tensor) -> Tensor:
    """Estimate the discounts (4,) of counts of 0, 1, 2 and more than 2 (Chen and Goodman 1999, equation 17).

    If there are too few small counts for an estimate, the discount is half of the count, as in KenLM.
    """
    n = counts.bincount(minlength=5)[1:5].double()  # (4,) number of n-grams with counts of 1, 2, 3 and 4
    count = torch.arange(1, 4, device=n.device)
    estimate = count - (count + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
    estimate = estimate.where(estimate.isfinite(), count / 2).clamp(min=0.1).minimum(count)
    return torch.cat([estimate.new_zeros(1), estimate])
