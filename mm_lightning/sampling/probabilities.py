"""From logits to probabilities, from probabilities to ids, from ids to items."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.sampling.options import SamplingOptions


def finite_logits(logits: Tensor) -> Tensor:
    """The logits, if none is NaN.

    Raises:
        UserError: If one is.
    """
    if logits.isnan().any():
        raise UserError("the network's logits are not numbers: training diverged before this checkpoint")
    return logits


def probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Probabilities (B, V) of the next id under temperature, top_k and top_p, from logits (B, V)."""
    logits = finite_logits(logits)
    if options.temperature == 0:
        return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1)
    logits = (logits - logits.max(1, keepdim=True).values) / options.temperature  # so that none grows beyond 0
    if options.top_k is not None and options.top_k < logits.shape[1]:
        kept = logits.sort(stable=True, dim=1, descending=True).indices[
            :, : options.top_k
        ]  # k also where some are equal
        logits = torch.full_like(logits, -torch.inf).scatter(1, kept, logits.gather(1, kept))
    result = logits.softmax(1)
    if options.top_p < 1:
        ordered, order = result.sort(stable=True, dim=1, descending=True)
        beyond = ordered.cumsum(1) - ordered >= options.top_p  # the set without this character suffices
        result = result.scatter(1, order, ordered.masked_fill(beyond, 0))
    return result


def exclude_ids(logits: Tensor, never: Sequence[int]) -> Tensor:
    """Logits (B, V) in float64 on the CPU under which these ids are impossible."""
    return logits.double().cpu().index_fill(1, torch.tensor(never, dtype=torch.int64), -torch.inf)


def inverse_cdf(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Places (B,) by inverse CDF from sums (B, V) of weights, not necessarily normalised, and numbers in [0, 1)."""
    total = cumulative[:, -1:]
    wanted = (uniform[:, None] * total).minimum(total.nextafter(torch.zeros_like(total)))  # as rounding may reach it
    return torch.searchsorted(cumulative, wanted, right=True).squeeze(1).clamp(max=cumulative.shape[1] - 1)


def next_probabilities(logits: Tensor, vocabulary: Vocabulary, options: SamplingOptions) -> Tensor:
    """Probabilities (B, V) of the next id as it would be drawn without a condition."""
    result = probabilities(exclude_ids(logits, vocabulary.unsampled_ids), options)
    result = result / result.sum(1, keepdim=True)
    ends = torch.zeros_like(result).index_fill(1, torch.tensor([BOUNDARY]), 1)
    return result.where(result.isfinite(), ends)  # where nothing is possible, the word ends


def decode(vocabulary: Vocabulary, ids: Tensor) -> list[str]:
    """Items of ids (W, T), each padded with boundaries."""
    return vocabulary.decode_all(ids[ids != BOUNDARY].numpy(), (ids != BOUNDARY).sum(1).numpy())
