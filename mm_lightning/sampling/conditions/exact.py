"""Sample items under a condition exactly: from a table of the network's probabilities, guided by backward messages.

Each id is sampled by its probability times the message of the beginning that it leads to, so no sample is lost.
"""

import numpy as np
import torch
from torch import Tensor

from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import SumProductMessages
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE
from mm_lightning.sampling.probabilities import decode, inverse_cdf


class ExactSampler:
    """Draws from the words of a table under a condition.

    Args:
        table: (V^C, V) float64, probabilities of the next id behind every window.
        guide: Made of the same table.
        condition: What words are wanted.
        seed: Same seed, same words.
    """

    def __init__(self, table: Tensor, guide: SumProductMessages, condition: Condition, seed: int) -> None:
        self._table = table
        self._guide = guide
        self._condition = condition
        self._seed = seed

    def sample_batch(self, block: int) -> list[str]:
        """Draw one block; its words in the order of their rows."""
        random = np.random.default_rng([self._seed, block])
        limit = torch.from_numpy(random.random(SAMPLE_BATCH_SIZE))
        windows, states = self._guide.start(SAMPLE_BATCH_SIZE)
        rows = torch.arange(SAMPLE_BATCH_SIZE)  # still open
        kept = torch.ones(SAMPLE_BATCH_SIZE, dtype=torch.float64)
        columns = [torch.tensor(self._condition.prefix, dtype=torch.int64).repeat(SAMPLE_BATCH_SIZE, 1)]
        for length in range(self._guide.first, self._condition.max_length + 1):
            weights = self._guide.following(length, self._table.index_select(0, windows), windows, states)
            cumulative = weights.cumsum(1)
            kept[rows] *= cumulative[:, -1] / self._guide.worth(length, windows, states)
            ids = inverse_cdf(cumulative, torch.from_numpy(random.random(SAMPLE_BATCH_SIZE)).index_select(0, rows))
            columns.append(ids.new_zeros(SAMPLE_BATCH_SIZE).index_copy(0, rows, ids)[:, None])
            open_rows = ids.nonzero().flatten()
            rows, ids, windows, states = (x.index_select(0, open_rows) for x in (rows, ids, windows, states))
            if not len(rows):
                break
            windows, states = self._guide.advance(windows, states, ids)
        kept[rows] = 0  # over the length
        return decode(self._condition.vocabulary, torch.cat(columns, 1)[limit < kept])
