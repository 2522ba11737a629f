"""N-gram models by counting: the first lecture's bigram table, and smoothed models with longer contexts.

Only n-grams that occur are stored, sorted by a number whose base-V digits are the tokens of the n-gram. Memory
therefore grows with the data and not with V^C. Probabilities are computed in double precision. The label of an item is
one more digit, the first one; the counts of a label are smoothed towards those of all labels.
"""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import Context, Smoothing
from mm_lightning.networks.counted.counted_network import CountedNetwork


def look_up(keys: Tensor, values: Tensor, queries: Tensor) -> Tensor:
    """Look up the values of the sorted keys (K,) at queries (...); 0 where a key is absent."""
    if not len(keys):
        return torch.zeros_like(queries, dtype=values.dtype)
    search = _halving_search if torch.compiler.is_exporting() else torch.searchsorted
    index = search(keys, queries).clamp(max=len(keys) - 1)
    return values[index].where(keys[index] == queries, 0)


def _halving_search(keys: Tensor, queries: Tensor) -> Tensor:
    """Compute `torch.searchsorted`, an operator that ONNX lacks, in a fixed number of steps."""
    position = torch.zeros_like(queries)  # number of keys that are known to be below the query
    for bit in reversed(range(len(keys).bit_length())):
        further = position + (1 << bit)
        is_below = (further <= len(keys)) & (keys[(further - 1).clamp(max=len(keys) - 1)] < queries)
        position = torch.where(is_below, further, position)
    return position


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
        label, context = self._split(x.cpu())
        grams = self._number(label, torch.cat([context, y.cpu()[:, None]], 1))
        added = torch.ones_like(grams) if weights is None else weights.cpu()
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
        for i in range(tokens.shape[1]):  # `unbind` of no columns cannot be written by torch.export
            number = number * self.vocab_size + tokens[:, i]
        return number

    def _continuations(self, numbers: Tensor) -> Tensor:
        """Compute the numbers (N, V) of contexts with these numbers (N,), followed by each token."""
        return numbers[:, None] * self.vocab_size + torch.arange(self.vocab_size)

    def _counts_of_all(self) -> tuple[Tensor, Tensor]:
        """Return the n-grams without their labels, sorted, and their counts."""
        if not self.num_labels:
            return self.grams, self.counts
        if self._of_all is None:
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
    def log_probabilities(self, x: Tensor) -> Tensor:
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
