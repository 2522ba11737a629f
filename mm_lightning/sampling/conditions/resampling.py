"""Sample items under a condition approximately, from a network whose context is too long for a table.

The network is guided by a model of short context, counted from items that the network sampled. The weight of an id is
the network's own probability times the guide's message. Where the guide errs, items are sampled too often or too
rarely; each carries the quotient as its weight. Among 64 candidates for one sample, those of low weight are replaced by
copies of those of high weight (sequential Monte Carlo, Doucet et al. 2001, with the guide as its twist), and one is
taken. Every sample has candidates of its own, so samples are independent. Their distribution differs from the model's
conditional distribution by a term that falls as one over the number of candidates; it is zero where the guide is right.
"""

import numpy as np
import torch
from torch import Tensor

from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.base import Network, State
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import SumProductMessages
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.probabilities import decode, inverse_cdf, next_probabilities

_COMPETITORS = 64  # for the place of one word
_GROUPS = SAMPLE_BATCH_SIZE // _COMPETITORS


class Resampler:
    """Draws from a network's words under a condition, approximately.

    Args:
        network: In eval mode.
        guide: Made of a model that is like the network.
        condition: What words are wanted.
        options: What to draw.
    """

    def __init__(
        self, network: Network, guide: SumProductMessages, condition: Condition, options: SamplingOptions
    ) -> None:
        self._guide = guide
        self._condition = condition
        self._options = options
        vocabulary = condition.vocabulary
        self._read = network.advance_function(
            lambda logits: next_probabilities(logits, vocabulary, options), len(condition.vocabulary)
        )

    def sample_batch(self, block: int) -> list[str]:
        """Draw one block; the words that won their places, fewer where no competitor could be as it is wanted."""
        random = np.random.default_rng([self._options.seed, block])
        windows, states = self._guide.start(SAMPLE_BATCH_SIZE)
        fresh = torch.tensor([BOUNDARY, *self._condition.prefix]).repeat(SAMPLE_BATCH_SIZE, 1)
        words = fresh[:, 1:]
        rows = torch.arange(SAMPLE_BATCH_SIZE)  # still open
        weights = torch.ones(SAMPLE_BATCH_SIZE, dtype=torch.float64)  # within each group of competitors
        state: State = ()  # of the rows that are open
        for length in range(self._guide.first, self._condition.max_length + 1):
            before = windows.index_select(0, rows), states.index_select(0, rows)
            probabilities, state = self._read(fresh, state)
            cumulative = self._guide.following(length, probabilities, *before).cumsum(1)
            gain = cumulative[:, -1] / self._guide.worth(length, *before)
            weights[rows] *= gain.nan_to_num(0, posinf=0)  # 0 / 0 where nothing can be as it is wanted
            chosen = inverse_cdf(cumulative, torch.from_numpy(random.random(SAMPLE_BATCH_SIZE)).index_select(0, rows))
            ids = chosen.new_zeros(SAMPLE_BATCH_SIZE).index_copy(0, rows, chosen.where(weights[rows] > 0, BOUNDARY))
            words = torch.cat([words, ids[:, None]], 1)
            windows, states = self._guide.advance(windows, states, ids)
            parents, weights = _compete(weights, torch.from_numpy(random.random(_GROUPS)))
            words, windows, states = (part.index_select(0, parents) for part in (words, windows, states))
            places = torch.zeros(SAMPLE_BATCH_SIZE, dtype=torch.int64).index_copy(0, rows, torch.arange(len(rows)))
            rows, fresh = words[:, -1].nonzero().flatten(), words[:, -1:][words[:, -1] != BOUNDARY]
            if not len(rows):
                break
            places = places[parents[rows]]
            state = tuple(part.index_select(0, places.to(part.device)) for part in state)
        weights[rows] = 0  # over the length
        by_group = weights.view(_GROUPS, -1)
        winners = inverse_cdf(by_group.cumsum(1), torch.from_numpy(random.random(_GROUPS)))
        winners = (winners + _starts())[by_group.sum(1) > 0]
        return decode(self._condition.vocabulary, words.index_select(0, winners))


def _starts() -> Tensor:
    """Row (groups,) of each group's first competitor."""
    return torch.arange(_GROUPS) * _COMPETITORS


def _compete(weights: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
    """Replace competitors (B,) where few of a group have most of its weight, by evenly spaced draws.

    Args:
        weights: (B,) of competitors.
        offsets: Random numbers (groups,) in [0, 1).

    Returns:
        The row (B,) whose copy each becomes, and the weights then.
    """
    by_group = weights.view(_GROUPS, -1)
    total = by_group.sum(1, keepdim=True)
    shares = by_group / total.where(total > 0, 1)
    effective = 1 / shares.square().sum(1)  # number of equal competitors that would be worth as much
    is_uneven = ((effective < _COMPETITORS / 2) & (total[:, 0] > 0))[:, None]
    points = (offsets[:, None] + torch.arange(_COMPETITORS)) / _COMPETITORS
    cumulative = shares.cumsum(1)
    points = points.minimum(cumulative[:, -1:].nextafter(torch.zeros(())))  # as rounding may reach it
    parents = torch.searchsorted(cumulative, points, right=True).clamp(max=_COMPETITORS - 1)
    parents = parents.where(is_uneven, torch.arange(_COMPETITORS)) + _starts()[:, None]
    return parents.flatten(), torch.where(is_uneven, 1.0, shares * _COMPETITORS).flatten()
