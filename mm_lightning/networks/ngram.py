"""N-gram models by counting: the first lecture's bigram table, and smoothed models with longer contexts.

Only n-grams that occur are stored, sorted by a number whose base-V digits are the tokens of the n-gram. Memory
therefore grows with the data and not with V^C. Probabilities are computed in double precision. The label of an item is
one more digit, the first one; the counts of a label are smoothed towards those of all labels.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import Context, Smoothing
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.base import CountedNetwork


def look_up(keys: Tensor, values: Tensor, queries: Tensor) -> Tensor:
    """Look up the values of the sorted keys (K,) at queries (...); 0 where a key is absent."""
    if not len(keys):
        return torch.zeros_like(queries, dtype=values.dtype)
    index = torch.searchsorted(keys, queries).clamp(max=len(keys) - 1)
    return values[index].where(keys[index] == queries, 0)


def sum_by_key(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct keys (K,), sorted, and the sum (K,) of the values of each key."""
    distinct, inverse = torch.unique(keys, return_inverse=True)
    return distinct, torch.zeros_like(distinct, dtype=values.dtype).index_add_(0, inverse, values)


class NGramCounts(CountedNetwork):
    """Counts of all n-grams of C + 1 ids, the base of n-gram models.

    Args:
        vocab_size: Number of ids V.
        block_size: Context C in tokens.
        num_labels: Number of labels L, set from the data.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits.

    Raises:
        UserError: If V^(C + 1) times the number of labels exceeds 63 bits.
    """

    grams: Tensor  # (K,) int64, sorted: n-grams as numbers with label and tokens as base-V digits
    counts: Tensor  # (K,) int64

    def __init__(self, vocab_size: int, block_size: int, num_labels: int = 0) -> None:
        super().__init__(block_size)
        if max(1, num_labels) * vocab_size ** (block_size + 1) >= 1 << 63:
            raise UserError(f"block_size is {block_size}; that is too long to count over {vocab_size} ids")
        self.vocab_size = vocab_size
        self.num_labels = num_labels
        self._of_all: tuple[Tensor, Tensor] | None = None  # computed from the counts on first use
        self.register_buffer("grams", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int64))
        self.register_load_state_dict_pre_hook(_resize_before_loading)  # type: ignore[no-untyped-call] # torch's own

    @override
    def count(self, x: Tensor, y: Tensor, weights: Tensor | None = None) -> None:
        label, context = self._split(x)
        grams = self._number(label, torch.cat([context, y[:, None]], 1))
        added = torch.ones_like(grams) if weights is None else weights
        self._of_all = None
        self.grams, self.counts = sum_by_key(torch.cat([self.grams, grams]), torch.cat([self.counts, added]))

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the label (N,), 0 without labels, and the tokens (N, C) of windows x (N, C)."""
        return (
            (x[:, -1] // self.vocab_size, x % self.vocab_size) if self.num_labels else (torch.zeros_like(x[:, -1]), x)
        )

    def _number(self, label: Tensor, tokens: Tensor) -> Tensor:
        """Convert labels (N,) and tokens (N, n) to numbers (N,)."""
        number = label
        for column in tokens.unbind(1):
            number = number * self.vocab_size + column
        return number

    def _continuations(self, numbers: Tensor) -> Tensor:
        """Compute the numbers (N, V) of contexts with these numbers (N,), followed by each token."""
        return numbers[:, None] * self.vocab_size + torch.arange(self.vocab_size, device=numbers.device)

    def _counts_of_all(self) -> tuple[Tensor, Tensor]:
        """Return the n-grams without their labels, sorted, and their counts."""
        if not self.num_labels:
            return self.grams, self.counts
        if self._of_all is None or self._of_all[0].device != self.grams.device:
            self._of_all = sum_by_key(self.grams % self.vocab_size ** (self.block_size + 1), self.counts)
        return self._of_all

    def resize(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Give the buffers the sizes of a checkpoint: the number of n-grams depends on the data."""
        self._of_all = None
        for name in ("grams", "counts"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.device))


def _resize_before_loading(module: NGramCounts, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    module.resize(state_dict, prefix)


class NGram(NGramCounts):
    """Predict the next token by its frequency after the same context, with add-k smoothing.

    A label adds k V counts that are distributed as the tokens of all labels, and not uniformly.

    Args:
        vocab_size: Number of ids V, set from the data.
        block_size: Context C in tokens; 1 for bigrams.
        smoothing: Constant added to every count. With 0, an unseen n-gram has an infinite NLL.
        num_labels: Number of labels L, set from the data.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits, float64.

    Raises:
        UserError: If `block_size` is too long to count.
    """

    def __init__(
        self, vocab_size: int, block_size: Context = 1, smoothing: Smoothing = 1.0, num_labels: int = 0
    ) -> None:
        super().__init__(vocab_size, block_size, num_labels)
        self.smoothing = smoothing

    @override
    def forward(self, x: Tensor) -> Tensor:
        label, context = self._split(x)
        grams = self._continuations(self._number(torch.zeros_like(label), context))
        counts = look_up(*self._counts_of_all(), grams).double() + self.smoothing  # (N, V)
        sums = counts.sum(1, keepdim=True)
        result = torch.where(sums > 0, counts / sums, 1 / self.vocab_size)  # uniform after an unseen context
        if self.num_labels:
            counts = look_up(self.grams, self.counts, self._continuations(self._number(label, context))).double()
            counts = counts + self.smoothing * self.vocab_size * result
            sums = counts.sum(1, keepdim=True)
            result = torch.where(sums > 0, counts / sums, result)
        return result.log()


_SHARE_OF_ALL = 0.1  # of all labels, in what a length is smoothed towards; of 0.05 to 0.5, best for names by sex


@dataclass(frozen=True)
class _Order:
    """Kneser-Ney counts and discounts of one n-gram length."""

    keys: Tensor  # (K,) int64
    counts: Tensor  # (K,) int64
    discounts: Tensor  # (4,) float64, subtracted from counts of 0, 1, 2 and more than 2


class KneserNey(NGramCounts):
    """Predict the next token by interpolated n-grams of every length up to C + 1 (Kneser and Ney 1995).

    Modified Kneser-Ney smoothing (Chen and Goodman 1999): three discounts per length are estimated from the counts, so
    no setting is needed. A shorter n-gram counts the distinct tokens before it, not its occurrences.

    With labels, n-grams of all labels are smoothed as above, and n-grams of each label in the same way, except that a
    length is smoothed towards a mixture: the next shorter length of the label, and the same length of all labels.

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
        self._orders: list[_Order] = []  # shortest n-grams first; computed from the counts on first use
        self._label_orders: list[_Order] = []  # likewise, of n-grams with labels

    @override
    def forward(self, x: Tensor) -> Tensor:
        if not self._orders or self._orders[0].keys.device != self.grams.device:
            self._orders = self._make_orders(*self._counts_of_all())
            self._label_orders = self._make_orders(self.grams, self.counts) if self.num_labels else []
        label, tokens = self._split(x)
        of_all = x.new_full((len(x), self.vocab_size), 1 / self.vocab_size, dtype=torch.float64)
        result = of_all
        for n, order in enumerate(self._orders):
            context = tokens[:, self.block_size - n :]
            of_all = self._interpolate(order, self._number(torch.zeros_like(label), context), of_all)
            if self._label_orders:
                lower = (1 - _SHARE_OF_ALL) * result + _SHARE_OF_ALL * of_all
                result = self._interpolate(self._label_orders[n], self._number(label, context), lower)
            else:
                result = of_all
        return result.log()

    def _interpolate(self, order: _Order, contexts: Tensor, lower: Tensor) -> Tensor:
        """Smooth the counts of one length after contexts with these numbers (N,), towards probabilities (N, V)."""
        counts = look_up(order.keys, order.counts, self._continuations(contexts))  # (N, V)
        discounts = order.discounts[counts.clamp(max=3)]
        sums = counts.sum(1, keepdim=True)
        return ((counts - discounts + discounts.sum(1, keepdim=True) * lower) / sums).where(sums > 0, lower)

    @override
    def count(self, x: Tensor, y: Tensor, weights: Tensor | None = None) -> None:
        super().count(x, y, weights)
        self._orders = []

    @override
    def resize(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        super().resize(state_dict, prefix)
        self._orders = []

    def _make_orders(self, keys: Tensor, occurrences: Tensor) -> list[_Order]:
        """Compute the counts for contexts of 0 to C tokens, from n-grams with or without labels and their counts."""
        size = self.vocab_size
        counts = occurrences
        longest_first = []
        for n in range(self.block_size, -1, -1):  # n tokens of context
            # n-grams that begin with two boundaries are left out: the shorter n-gram says the same
            is_used = keys % size ** (n + 1) >= size ** (n - 1) if n > 1 else keys >= 0
            longest_first.append(_Order(keys[is_used], counts[is_used], _discounts(counts[is_used])))
            if n:
                suffixes = keys // size ** (n + 1) * size**n + keys % size**n  # without the first token
                predecessors = sum_by_key(suffixes, torch.ones_like(occurrences))[1]  # distinct tokens before a suffix
                keys, occurrences = sum_by_key(suffixes, occurrences)
                begins_item = keys % size**n // size ** (n - 1) == BOUNDARY
                # no token stands before the beginning of an item, so its occurrences count
                counts = occurrences.where(begins_item, predecessors) if n > 1 else predecessors
        return longest_first[::-1]


def _discounts(counts: Tensor) -> Tensor:
    """Estimate the discounts (4,) of counts of 0, 1, 2 and more than 2 (Chen and Goodman 1999, equation 17).

    If there are too few small counts for an estimate, the discount is half of the count, as in KenLM.
    """
    n = counts.bincount(minlength=5)[1:5].double()  # (4,) number of n-grams with counts of 1, 2, 3 and 4
    count = torch.arange(1, 4, device=n.device)
    estimate = count - (count + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:3]
    estimate = estimate.where(estimate.isfinite(), count / 2).clamp(min=0.1).minimum(count)
    return torch.cat([estimate.new_zeros(1), estimate])
