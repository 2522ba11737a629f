"""Approximate sampling under a condition, for a network whose context is too long for a table.

This is sequential Monte Carlo (Doucet et al. 2001). The proposal for the next id is the network's own probability times
the backward message of a table model; the table model approximates the network. Each particle carries an importance
weight that corrects the errors of the messages. Where the weights become uneven, copies of particles of high weight
replace particles of low weight. In the end, one particle becomes the sample. Every sample has particles of its own, so
samples are independent.

The distribution of samples differs from the model's conditional distribution by a term that falls as one over the
number of particles. The term is zero where the messages are exact.
"""

import numpy as np
import torch
from torch import Tensor

from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.base import Network, State
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import SumProductMessages
from mm_lightning.sampling.options import NUM_PARTICLES, SAMPLE_BATCH_SIZE, SMALLEST_BATCH, SamplingOptions
from mm_lightning.sampling.probabilities import inverse_cdf, next_probabilities
from mm_lightning.sampling.rows import decode, full_column, random_uniform, select_state


class Resampler:
    """Approximate sampler of any network's items under a condition.

    Args:
        network: The network; in eval mode for `sample_batch`.
        messages: Messages of a table model that approximates the network.
        condition: The condition.
        options: The sampling options.
    """

    def __init__(
        self, network: Network, messages: SumProductMessages, condition: Condition, options: SamplingOptions
    ) -> None:
        self._messages = messages
        self._condition = condition
        self._seed = options.seed
        vocabulary = condition.vocabulary
        self._advance = network.advance_function(
            lambda logits: next_probabilities(logits, vocabulary, options), len(vocabulary)
        )

    def sample_batch(self, batch: int) -> list[str]:
        """Sample one batch; fewer items than samples in a batch where no particle meets the condition."""
        generator = np.random.default_rng([self._seed, batch])
        rows = torch.arange(SAMPLE_BATCH_SIZE)  # open particles
        nodes = self._messages.graph.starts(SAMPLE_BATCH_SIZE)
        weights = torch.ones(SAMPLE_BATCH_SIZE, dtype=torch.float64)
        unread = torch.tensor([BOUNDARY, *self._condition.prefix]).repeat(SAMPLE_BATCH_SIZE, 1)  # (open particles, T)
        ids = unread[:, 1:]
        network_state: State = ()  # of the open particles
        for length in range(self._messages.first_length, self._condition.max_length + 1):
            probabilities, network_state = self._advance(unread, network_state)
            cumulative, gains = self._propose(length, probabilities, nodes[rows])
            weights[rows] *= gains
            next_ids = inverse_cdf(cumulative, random_uniform(generator, rows))
            next_ids = full_column(next_ids.where(weights[rows] > 0, BOUNDARY), rows)
            ids = torch.cat([ids, next_ids[:, None]], 1)
            nodes = self._messages.graph.advance(nodes, next_ids)
            parents, weights = _resample(weights, torch.from_numpy(generator.random(SMALLEST_BATCH)))
            ids, nodes = ids.index_select(0, parents), nodes.index_select(0, parents)
            state_rows = full_column(torch.arange(len(rows)), rows)  # row of each particle in the network state
            rows = ids[:, -1].nonzero().flatten()
            unread = ids[rows, -1:]
            if not len(rows):
                break
            network_state = select_state(network_state, state_rows[parents[rows]])
        weights[rows] = 0  # particles that are still open are over max_length
        chosen = _choose(weights, torch.from_numpy(generator.random(SMALLEST_BATCH)))
        return decode(self._condition.vocabulary, ids.index_select(0, chosen))

    def _propose(self, length: int, probabilities: Tensor, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return cumulative weights (R, V) of the next id, and factors (R,) of the importance weights."""
        cumulative = self._messages.next_weights(length, probabilities, nodes).cumsum(1)
        gains = cumulative[:, -1] / self._messages.message(length, nodes)
        return cumulative, gains.nan_to_num(0, posinf=0)  # 0 / 0 where the condition is impossible


def _first_particles() -> Tensor:
    """Return the row (samples,) of each sample's first particle."""
    return torch.arange(SMALLEST_BATCH) * NUM_PARTICLES


def _resample(weights: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """Resample the particles of a sample systematically, if its effective number of particles is below one half.

    Args:
        weights: (B,) importance weights of all particles.
        uniform: (samples,) random numbers in [0, 1).

    Returns:
        For each row (B,) the row of the particle that is copied there, and the new weights (B,), with mean 1.
    """
    by_sample = weights.view(SMALLEST_BATCH, NUM_PARTICLES)
    total = by_sample.sum(1, keepdim=True)
    shares = by_sample / total.where(total > 0, 1)
    effective_number = 1 / shares.square().sum(1)
    is_uneven = ((effective_number < NUM_PARTICLES / 2) & (total[:, 0] > 0))[:, None]
    cumulative = shares.cumsum(1)
    points = (uniform[:, None] + torch.arange(NUM_PARTICLES)) / NUM_PARTICLES
    points = points.minimum(cumulative[:, -1:].nextafter(torch.zeros(())))  # rounding can reach the last sum
    parents = torch.searchsorted(cumulative, points, right=True).clamp(max=NUM_PARTICLES - 1)
    parents = parents.where(is_uneven, torch.arange(NUM_PARTICLES)) + _first_particles()[:, None]
    return parents.flatten(), torch.where(is_uneven, 1.0, shares * NUM_PARTICLES).flatten()


def _choose(weights: Tensor, uniform: Tensor) -> Tensor:
    """Sample the row of one particle by weight for each sample, without samples whose weights (B,) are all zero."""
    by_sample = weights.view(SMALLEST_BATCH, NUM_PARTICLES)
    chosen = inverse_cdf(by_sample.cumsum(1), uniform) + _first_particles()
    return chosen[by_sample.sum(1) > 0]
