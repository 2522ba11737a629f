"""N-gram models by counting: the first lecture's bigram table, and smoothed models with longer contexts.

Only n-grams that occur are stored, sorted by a number whose base-V digits are the ids of the n-gram. Memory therefore
grows with the data and not with V^C. Probabilities are computed in double precision.
"""

from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import Context, Smoothing
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

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits.

    Raises:
        UserError: If V^(C + 1) exceeds 63 bits.
    """

    grams: Tensor  # (K,) int64, sorted: n-grams as numbers with their ids as base-V digits
    counts: Tensor  # (K,) int64

    def __init__(self, vocab_size: int, block_size: int) -> None:
        super().__init__(block_size)
        if vocab_size ** (block_size + 1) >= 1 << 63:
            raise UserError(f"block_size is {block_size}; that is too long to count over {vocab_size} ids")
        self.vocab_size = vocab_size
        self.register_buffer("grams", torch.zeros(0, dtype=torch.int64))
        self.register_buffer("counts", torch.zeros(0, dtype=torch.int64))
        self.register_load_state_dict_pre_hook(_resize_before_loading)  # type: ignore[no-untyped-call] # torch's own

    @override
    def count(self, x: Tensor, y: Tensor) -> None:
        grams = self._number(torch.cat([x, y[:, None]], 1))
        self.grams, self.counts = sum_by_key(
            torch.cat([self.grams, grams]), torch.cat([self.counts, torch.ones_like(grams)])
        )

    def _number(self, ids: Tensor) -> Tensor:
        """Convert n-grams ids (N, n) to numbers (N,)."""
        number = ids.new_zeros(len(ids))
        for column in ids.unbind(1):
            number = number * self.vocab_size + column
        return number

    def _number_continuations(self, context: Tensor) -> Tensor:
        """Compute the numbers (N, V) of contexts (N, n) followed by each id."""
        return self._number(context)[:, None] * self.vocab_size + torch.arange(self.vocab_size, device=context.device)

    def resize(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        """Give the buffers the sizes of a checkpoint: the number of n-grams depends on the data."""
        for name in ("grams", "counts"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.device))


def _resize_before_loading(module: NGramCounts, state_dict: dict[str, Tensor], prefix: str, *_: Any) -> None:
    module.resize(state_dict, prefix)


class NGram(NGramCounts):
    """Predict the next token by its frequency after the same context, with add-k smoothing.

    Args:
        vocab_size: Number of ids V, set from the data.
        block_size: Context C in tokens; 1 for bigrams.
        smoothing: Constant added to every count. With 0, an unseen n-gram has an infinite NLL.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits, float64.

    Raises:
        UserError: If `block_size` is too long to count.
    """

    def __init__(self, vocab_size: int, block_size: Context = 1, smoothing: Smoothing = 1.0) -> None:
        super().__init__(vocab_size, block_size)
        self.smoothing = smoothing

    @override
    def forward(self, x: Tensor) -> Tensor:
        counts = look_up(self.grams, self.counts, self._number_continuations(x)).double() + self.smoothing  # (N, V)
        sums = counts.sum(1, keepdim=True)
        return torch.where(sums > 0, counts / sums, 1 / self.vocab_size).log()  # uniform after an unseen context
