"""Interpolated n-grams whose smoothing is fitted to the counts, so that it stays sound on short lists.

The discounts of Chen and Goodman are estimates from the numbers of n-grams seen once to four times. In a list of 60
items these numbers are a handful, or 0. Here discounts and strengths maximise the likelihood of each n-gram given all
others (leave-one-out: Jelinek and Mercer 1985; Ney, Essen and Kneser 1994), which exists for every list.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from mm_lightning.data.ranges import Context
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.counted.kneser_ney import KneserNey, OrderCounts, Smoothing
from mm_lightning.networks.counted.ngram import look_up, sum_by_key

_MAX_FITTED_GRAMS = 50_000  # a fraction of a second; 25 numbers need no more
_MAX_ITERATIONS = 60
_PRIOR = 1e-3  # nats per squared unit of each parameter: keeps parameters finite that the counts say nothing about


@dataclass(frozen=True)
class LeftOut:
    """Counts of one n-gram length without one occurrence of each n-gram.

    Args:
        count: (G,) int64, count of the n-gram.
        total: (G,) int64, sum of the counts after the same context.
        kinds: (G, 3) int64, number of tokens after the same context with a count of 1, 2 and more than 2.
    """

    count: Tensor
    total: Tensor
    kinds: Tensor


class PitmanYor(KneserNey):
    """Predict the next token by interpolated n-grams of every length, with fitted discounts and strengths.

    The predictive rule of the hierarchical Pitman-Yor process (Teh 2006) with Kneser-Ney counts, three discounts and
    one strength per length. Suits lists of 40 items as well as long ones. The n-grams of a label are smoothed by the
    numbers that are fitted to those of all labels.

    Args:
        vocab_size: Number of ids V, set from the data.
        block_size: Context C in tokens.
        num_labels: Number of labels L, set from the data.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits, float64.

    Raises:
        UserError: If `block_size` is too long to count.
    """

    discounts: Tensor  # (C + 1, 3) float64 for counts of 1, 2 and more than 2, shortest n-grams first; (0, 3) unfitted
    strengths: Tensor  # (C + 1,) float64; (0,) unfitted

    def __init__(self, vocab_size: int, block_size: Context = 5, num_labels: int = 0) -> None:
        super().__init__(vocab_size, block_size, num_labels)
        self._forget()
        # a checkpoint has fitted numbers
        self.register_state_dict_pre_hook(lambda module, *_: module._smooth())  # type: ignore[no-untyped-call] # torch's

    def _forget(self) -> None:
        self.register_buffer("discounts", torch.zeros(0, 3, dtype=torch.float64))
        self.register_buffer("strengths", torch.zeros(0, dtype=torch.float64))

    @override
    def count(self, x: Tensor, y: Tensor, weights: Tensor | None = None) -> None:
        super().count(x, y, weights)
        self._forget()

    @override
    def resize(self, state_dict: dict[str, Tensor], prefix: str) -> None:
        super().resize(state_dict, prefix)
        for name in ("discounts", "strengths"):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name], device=self.device))

    @override
    def base(self, tokens: OrderCounts) -> Tensor:
        """Probability (V,), equal for tokens that never occur, and 0 for all others; equal for all if all occur.

        A short list leaves some letters of the alphabet to the items that are held out. The share that discounts set
        free is for these.
        """
        is_unseen = torch.ones(self.vocab_size, dtype=torch.bool)
        is_unseen[tokens.keys] = False
        result = is_unseen.double() if is_unseen.any() else torch.ones_like(is_unseen, dtype=torch.float64)
        return result / result.sum()

    @override
    def smoothings(self, orders: list[OrderCounts]) -> list[Smoothing]:
        if not len(self.strengths):
            self.discounts, self.strengths = self._fit(orders)
        return _smoothings(self.discounts, self.strengths)

    def _fit(self, orders: list[OrderCounts]) -> tuple[Tensor, Tensor]:
        """Fit discounts (C + 1, 3) and strengths (C + 1,) by the likelihood of each n-gram without itself."""
        grams, counts = self._counts_of_all()
        step = -(-len(grams) // _MAX_FITTED_GRAMS) if len(grams) else 1
        grams, weights = grams[::step], counts[::step].double()
        left_out = [self.leave_one_out(n, grams, orders) for n in range(len(orders))]
        num_unseen = self.vocab_size - len(orders[0].keys)
        parameters = torch.zeros(len(orders), 4, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([parameters], max_iter=_MAX_ITERATIONS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            optimizer.zero_grad()
            p = self.leave_one_out_probabilities(left_out, _smoothings(*_values(parameters)), num_unseen)
            result = -(weights * p.log()).sum() + _PRIOR * parameters.square().sum()
            result.backward()  # type: ignore[no-untyped-call] # torch's own
            return result

        with torch.enable_grad():
            optimizer.step(loss)  # type: ignore[no-untyped-call] # torch's own
        with torch.no_grad():
            return _values(parameters)

    def leave_one_out_probabilities(
        self, counts: list[LeftOut], smoothings: list[Smoothing], num_unseen: int
    ) -> Tensor:
        """Compute the probability (G,) of each n-gram's last token, from all other n-grams.

        Args:
            counts: Result of `leave_one_out` for contexts of 0 to C tokens.
            smoothings: The smoothing of each length.
            num_unseen: Number of tokens that never occur.
        """
        if num_unseen:
            p = (counts[0].count == 0).double() / (num_unseen + 1)
        else:  # a token that occurs once is the only unseen one without its occurrence
            p = torch.where(counts[0].count == 0, 1.0, 1 / self.vocab_size).double()
        for left, smoothing in zip(counts, smoothings, strict=True):
            freed = (left.kinds * smoothing.discounts[1:]).sum(1) + smoothing.strength
            own = left.count - smoothing.discounts[left.count.clamp(max=3)]
            p = ((own + freed * p) / (left.total + smoothing.strength)).where(left.total > 0, p)
        return p

    def leave_one_out(self, n: int, grams: Tensor, orders: list[OrderCounts]) -> LeftOut:
        """Compute the counts after contexts of n tokens without one occurrence of each of `grams` (G,)."""
        order = orders[n]
        keys = grams % self.vocab_size ** (n + 1)
        count = look_up(order.keys, order.counts, keys)
        removed = torch.ones_like(count)
        if n < self.block_size:  # a shorter n-gram loses a count only with the last occurrence of a longer one
            longer = self._occurrences(n + 1, grams, orders)
            begins_item = keys // self.vocab_size**n == BOUNDARY if n else torch.zeros_like(keys, dtype=torch.bool)
            removed = (begins_item | (longer == 1)).long()
        removed = removed.minimum(count)
        contexts, own = order.keys // self.vocab_size, keys // self.vocab_size
        kinds = []
        for kind in range(1, 4):
            is_kind = (order.counts.clamp(max=3) == kind).long()
            number = look_up(*sum_by_key(contexts, is_kind), own)
            before, after = count.clamp(max=3) == kind, (count - removed).clamp(max=3) == kind
            kinds.append(number - before.long() + after.long())
        total = look_up(*sum_by_key(contexts, order.counts), own) - removed
        return LeftOut(count - removed, total, torch.stack(kinds, 1))

    def _occurrences(self, n: int, grams: Tensor, orders: list[OrderCounts]) -> Tensor:
        """Occurrences (G,) of the last n + 1 tokens of `grams`."""
        order = orders[n]
        return look_up(order.keys, order.occurrences, grams % self.vocab_size ** (n + 1))


def _values(parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Map free parameters (C + 1, 4) to discounts (C + 1, 3), each below its count, and strengths (C + 1,) above 0."""
    limits = torch.arange(1, 4)
    return parameters[:, :3].sigmoid() * limits, parameters[:, 3].exp()


def _smoothings(discounts: Tensor, strengths: Tensor) -> list[Smoothing]:
    """Pair discounts (C + 1, 3) and strengths (C + 1,); nothing is subtracted from a count of 0."""
    return [Smoothing(*pair) for pair in zip(F.pad(discounts, (1, 0)), strengths, strict=True)]
