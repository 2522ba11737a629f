"""Probabilities of the next id from logits, and ids sampled from probabilities."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.evaluation.loss import NOT_NUMBERS
from mm_lightning.sampling.options import SamplingOptions

_MAX_LOGIT = 1e6  # no trained network has logits above hundreds


def checked_logits(logits: Tensor) -> Tensor:
    """Return the logits unchanged.

    Raises:
        UserError: If any logit is NaN, or too large; minus infinity, for a probability of 0, is valid.
    """
    if not (logits < _MAX_LOGIT).all():
        raise UserError(NOT_NUMBERS)
    return logits


def probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Compute probabilities (B, V) of the next id from logits (B, V) under temperature, top_k and top_p.

    Sums of rows are below 1 where top_p removes ids.

    Raises:
        UserError: If any logit is NaN or too large.
    """
    logits = checked_logits(logits)
    if options.temperature == 0:
        return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1)
    logits = (logits - logits.max(1, keepdim=True).values) / options.temperature  # at most 0: no overflow
    if options.top_k is not None and options.top_k < logits.shape[1]:
        order = logits.sort(stable=True, dim=1, descending=True).indices
        kept = order[:, : options.top_k]  # exactly k ids, also where logits are equal
        logits = torch.full_like(logits, -torch.inf).scatter(1, kept, logits.gather(1, kept))
    result = logits.softmax(1)
    if options.top_p < 1:
        descending, order = result.sort(stable=True, dim=1, descending=True)
        is_beyond = descending.cumsum(1) - descending >= options.top_p  # more likely ids already reach top_p
        result = result.scatter(1, order, descending.masked_fill(is_beyond, 0))
    return result


def mask_ids(logits: Tensor, ids: Sequence[int]) -> Tensor:
    """Copy logits (B, V) to the CPU in float64, with -inf for the given ids."""
    return logits.cpu().double().index_fill(1, torch.tensor(ids, dtype=torch.int64), -torch.inf)


def inverse_cdf(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Sample ids (B,) by inversion of the cumulative distribution function.

    Args:
        cumulative: (B, V) cumulative sums of weights, not necessarily normalised.
        uniform: (B,) random numbers in [0, 1).
    """
    total = cumulative[:, -1:]
    below_total = total.nextafter(torch.zeros_like(total))
    targets = (uniform[:, None] * total).minimum(below_total)  # the product can round to the total
    return torch.searchsorted(cumulative, targets, right=True).squeeze(1).clamp(max=cumulative.shape[1] - 1)


def next_probabilities(logits: Tensor, vocabulary: Vocabulary, options: SamplingOptions) -> Tensor:
    """Compute normalised probabilities (B, V) of the next id without a condition, from logits (B, V).

    The boundary has probability 1 where no id is possible.

    Raises:
        UserError: If any logit is NaN or too large.
    """
    result = probabilities(mask_ids(logits, vocabulary.unsampled_ids), options)
    result = result / result.sum(1, keepdim=True)
    boundary = torch.zeros_like(result).index_fill(1, torch.tensor([BOUNDARY]), 1)
    return result.where(result.isfinite(), boundary)
