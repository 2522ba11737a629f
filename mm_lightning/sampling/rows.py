"""Helpers for the rows of a batch: random numbers, columns of ids, network states, text.

Each row of a batch is one item. A row is open until its item ends.
"""

import numpy as np
import torch
from torch import Tensor

from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks.base import State
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE


def random_uniform(generator: np.random.Generator, rows: Tensor) -> Tensor:
    """Return random numbers (R,) in [0, 1) for rows (R,).

    Each call consumes one number per row of a whole batch, so numbers of a row do not depend on which rows are open.
    """
    return torch.from_numpy(generator.random(SAMPLE_BATCH_SIZE)).index_select(0, rows)


def full_column(values: Tensor, rows: Tensor, num_rows: int = SAMPLE_BATCH_SIZE) -> Tensor:
    """Return a column (num_rows,) with values (R,) at rows (R,), and 0 elsewhere."""
    return values.new_zeros(num_rows).index_copy(0, rows, values)


def select_state(state: State, rows: Tensor) -> State:
    """Return the network state of rows (R,), given on the CPU."""
    return tuple(part.index_select(0, rows.to(part.device)) for part in state)


def decode(vocabulary: Vocabulary, ids: Tensor, min_length: int = 0) -> list[str]:
    """Return the items of ids (B, T), padded with boundaries, without items shorter than `min_length`."""
    lengths = (ids != BOUNDARY).sum(1)
    is_long_enough = lengths >= min_length
    ids, lengths = ids[is_long_enough], lengths[is_long_enough]
    return vocabulary.decode_all(ids[ids != BOUNDARY].numpy(), lengths.numpy())
