"""Interpolated n-grams of every length: Kneser-Ney counts, and the discounts of Chen and Goodman."""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from mm_lightning.data.ranges import Context
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.counted.ngram import NGramCounts, look_up, sum_by_key

_SHARE_OF_ALL = 0.1  # of all labels, in what a length is smoothed towards; of 0.05 to 0.5, best for names by sex


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

    A token with count c after a context has the probability (c - d(c) + (s + sum of d) * p) / (sum of c + s). Here p is
    its probability after the shorter context. Both sums are over the tokens.

    Args:
        discounts: (4,) float64 d, subtracted from counts of 0, 1, 2 and more than 2.
        strength: () float64 s, a number of pseudo-counts.
    """

    discounts: Tensor
    strength: Tensor


SmoothedOrder = tuple[OrderCounts, Smoothing]


class KneserNey(NGramCounts):
    """Predict the next token by interpolated n-grams of every length up to C + 1 (Kneser and Ney 1995).

    Modified Kneser-Ney smoothing (Chen and Goodman 1999): three discounts per length are estimated from the counts, so
    no setting is needed. A shorter n-gram counts the distinct tokens before it, not its occurrences.

    With labels, n-grams of all labels are smoothed as above. N-grams of each label are smoothed in the same way, but
    towards a mixture: the next shorter length of the label, and the same length of all labels.

    Args:
        vocab_size: Number of ids V, set from the data.
        block_size: Context C in tokens.
        num_labels: Number of labels L, set from the data.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits, float64.

    Raises:
        UserError: If `block_size` is too long to count.
    """

    def __init__(self, vocab_size: int, block_size: Context = 5, num_labels: int = 0) -> None:
        super().__init__(vocab_size, block_size, num_labels)
        self._orders: list[SmoothedOrder] = []  # shortest n-grams first; computed on first use
        self._label_orders: list[SmoothedOrder] = []  # likewise, of n-grams with labels
        self._base = torch.empty(0)  # likewise

    @override
    def log_probabilities(self, x: Tensor) -> Tensor:
        self._smooth()
        label, tokens = self._split(x)
        of_all = self._base.expand(x.shape[0], -1)
        result = of_all
        for n, order in enumerate(self._orders):
            context = tokens[:, self.block_size - n :]
            of_all = self._interpolate(order, self._number(torch.zeros_like(label), context), of_all)
            if self._label_orders:
                shorter = (1 - _SHARE_OF_ALL) * result + _SHARE_OF_ALL * of_all
                result = self._interpolate(self._label_orders[n], self._number(label, context), shorter)
            else:
                result = of_all
        return result.log()

    def base(self, tokens: OrderCounts) -> Tensor:
        """Probability (V,) of each token before anything is counted, towards which single tokens are smoothed."""
        return torch.full((self.vocab_size,), 1 / self.vocab_size, dtype=torch.float64)

    def _interpolate(self, smoothed: SmoothedOrder, contexts: Tensor, lower: Tensor) -> Tensor:
        """Smooth the counts of one length after contexts with these numbers (N,), towards probabilities (N, V)."""
        order, smoothing = smoothed
        counts = look_up(order.keys, order.counts, self._continuations(contexts))  # (N, V)
        discounts = smoothing.discounts[counts.clamp(max=3)]
        sums = counts.sum(1, keepdim=True)
        shorter = (discounts.sum(1, keepdim=True) + smoothing.strength) * lower
        return ((counts - discounts + shorter) / (sums + smoothing.strength)).where(sums > 0, lower)

    def _smooth(self) -> None:
        """Compute the counts of each length and their smoothing, where the n-grams have changed."""
        if not self._orders:
            orders = self.order_counts(*self._counts_of_all())
            self._orders = list(zip(orders, self.smoothings(orders), strict=True))
            self._base = self.base(orders[0])
            orders = self.order_counts(self.grams, self.counts) if self.num_labels else []
            self._label_orders = list(zip(orders, self.smoothings(orders), strict=True)) if orders else []

    @override
    def count(self, x: Tensor, y: Tensor, weights: Tensor | None = None) -> None:
        super().count(x, y, weights)
        self._orders = []

    @override
    def resize(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        super().resize(state_dict, prefix)
        self._orders = []

    def order_counts(self, keys: Tensor, occurrences: Tensor) -> list[OrderCounts]:
        """Compute the counts for contexts of 0 to C tokens, from n-grams with or without labels and their counts."""
        size = self.vocab_size
        counts = occurrences
        longest_first = []
        for n in range(self.block_size, -1, -1):  # n tokens of context
            # n-grams that begin with two boundaries are left out: the shorter n-gram says the same
            is_used = keys % size ** (n + 1) >= size ** (n - 1) if n > 1 else keys >= 0
            longest_first.append(OrderCounts(keys[is_used], counts[is_used], occurrences[is_used]))
            if n:
                suffixes = keys // size ** (n + 1) * size**n + keys % size**n  # without the first token
                predecessors = sum_by_key(suffixes, torch.ones_like(occurrences))[1]  # distinct tokens before a suffix
                keys, occurrences = sum_by_key(suffixes, occurrences)
                begins_item = keys % size**n // size ** (n - 1) == BOUNDARY
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
    n = counts.clamp(max=5).bincount(minlength=6)[1:5].double()  # (4,) number of n-grams with counts of 1, 2, 3 and 4
    count = torch.arange(1, 4)
    estimate = count - (count + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
    estimate = estimate.where(estimate.isfinite(), count / 2).clamp(min=0.1).minimum(count)
    return torch.cat([estimate.new_zeros(1), estimate])
