"""Exact sampling under a condition, from a table of the network's probabilities and backward messages.

The weight of an id is its probability times the message of the prefix that ends with this id. So most rows give an
item, even under a rare condition.
"""

import numpy as np
import torch

from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import SumProductMessages
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE
from mm_lightning.sampling.probabilities import inverse_cdf
from mm_lightning.sampling.rows import decode, full_column, random_uniform


class ExactSampler:
    """Exact sampler of a table's items under a condition.

    Args:
        messages: Messages of the network's own table.
        condition: The condition.
        seed: Seed of the random numbers.
    """

    def __init__(self, messages: SumProductMessages, condition: Condition, seed: int) -> None:
        self.messages = messages
        self._condition = condition
        self._seed = seed

    def sample_batch(self, batch: int) -> list[str]:
        """Sample one batch and return the accepted items, in the order of their rows."""
        generator = np.random.default_rng([self._seed, batch])
        rows = torch.arange(SAMPLE_BATCH_SIZE)  # open rows
        thresholds = random_uniform(generator, rows)
        acceptance = torch.ones(SAMPLE_BATCH_SIZE, dtype=torch.float64)  # probability to accept each item
        nodes = self.messages.graph.starts(SAMPLE_BATCH_SIZE)  # of the open rows
        columns = [torch.tensor(self._condition.prefix, dtype=torch.int64).repeat(SAMPLE_BATCH_SIZE, 1)]
        for length in range(self.messages.first_length, self._condition.max_length + 1):
            cumulative = self.messages.next_weights(length, self.messages.probabilities(nodes), nodes).cumsum(1)
            acceptance[rows] *= cumulative[:, -1] / self.messages.message(length, nodes)
            ids = inverse_cdf(cumulative, random_uniform(generator, rows))
            columns.append(full_column(ids, rows)[:, None])
            still_open = ids.nonzero().flatten()
            rows, ids, nodes = (x.index_select(0, still_open) for x in (rows, ids, nodes))
            if not len(rows):
                break
            nodes = self.messages.graph.advance(nodes, ids)
        acceptance[rows] = 0  # rows that are still open are over max_length
        return decode(self._condition.vocabulary, torch.cat(columns, 1)[thresholds < acceptance])
