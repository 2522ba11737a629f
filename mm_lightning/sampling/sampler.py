"""Items sampled from a network, with a prefix and bounds of length as the only conditions.

Items are sampled in batches of fixed size by inversion of the cumulative distribution function. The random numbers of a
batch depend on (seed, batch) alone. So item i does not depend on the number of requested items or on the device, and
the global random state stays unchanged.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks.base import AdvanceFunction, Network, State
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.probabilities import inverse_cdf, mask_ids, probabilities
from mm_lightning.sampling.rows import decode, full_column, random_uniform, select_state
from mm_lightning.sampling.selection import Selection


def require_eval_mode(network: Network) -> None:
    """Check that the network is in eval mode, without dropout and updates of batch statistics.

    Raises:
        RuntimeError: If the network is in training mode.
    """
    if network.training:
        raise RuntimeError("sampling needs the network in eval mode; call network.eval() first")


def _encode_prefix(vocabulary: Vocabulary, options: SamplingOptions) -> list[int]:
    """Return the ids of the boundary and the prefix.

    Raises:
        UserError: If the prefix has a character outside the vocabulary, or more than max_length tokens.
    """
    ids = vocabulary.encode_item(options.prefix)
    if len(ids) > options.max_length:
        raise UserError(
            f"sampling.max_length is {options.max_length}; it must be at least the length of the prefix ({len(ids)})"
        )
    return [BOUNDARY, *ids]


class Sampler:
    """Sampler of a network's items, batch by batch; items outside the bounds of length are dropped.

    Args:
        network: The network; in eval mode for `sample_batch`.
        vocabulary: The vocabulary of the network.
        options: The sampling options; only seed, temperature, top_k, top_p, prefix and the lengths have an effect here.
        num_rows: Rows sampled in each batch. A row's item does not depend on this number.

    Raises:
        UserError: If the prefix has a character outside the vocabulary, or more than max_length tokens.
    """

    def __init__(
        self, network: Network, vocabulary: Vocabulary, options: SamplingOptions, num_rows: int = SAMPLE_BATCH_SIZE
    ) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.options = options
        self.num_rows = num_rows
        self._prefix = _encode_prefix(vocabulary, options)
        self._advance = self._make_advance()
        # Without the boundary as first id, fewer items are dropped; the distribution of the others is the same.
        is_prefix_too_short = options.min_length >= len(self._prefix)
        self._advance_first = self._make_advance(can_end=False) if is_prefix_too_short else self._advance

    def _make_advance(self, can_end: bool = True) -> AdvanceFunction:
        """Return a function that reads ids and returns cumulative probabilities (B, V) of the next id."""
        unsampled_ids = list(self.vocabulary.unsampled_ids)

        def cumulative(logits: Tensor) -> Tensor:
            each = probabilities(mask_ids(logits, unsampled_ids), self.options)
            if not can_end:  # after the options: they choose among all ids
                each[:, BOUNDARY] = 0
            sums = each.cumsum(1)
            return sums.where(sums[:, -1:] > 0, 1.0)  # where no id is possible, the item ends

        return self.network.advance_function(cumulative, len(self.vocabulary))

    @torch.no_grad()
    def sample_batch(self, batch: int) -> list[str]:
        """Sample the batch with this index, and return the items within the length bounds, in the order of rows.

        Raises:
            RuntimeError: If the network is in training mode.
            UserError: If the network's logits are NaN or too large.
        """
        require_eval_mode(self.network)
        generator = np.random.default_rng([self.options.seed, batch])
        unread = torch.tensor(self._prefix).repeat(self.num_rows, 1)  # (open rows, T)
        columns = [unread[:, 1:]]
        state: State = ()
        rows = torch.arange(self.num_rows)  # open rows
        for length in range(len(self._prefix) - 1, self.options.max_length + 1):
            advance = self._advance_first if length == len(self._prefix) - 1 else self._advance
            cumulative, state = advance(unread, state)
            ids = inverse_cdf(cumulative, random_uniform(generator, rows))
            columns.append(full_column(ids, rows, self.num_rows)[:, None])
            still_open = ids.nonzero().flatten()
            rows, unread = rows.index_select(0, still_open), ids.index_select(0, still_open)[:, None]
            if not len(rows):
                break
            state = select_state(state, still_open)
        has_ended = torch.ones(self.num_rows, dtype=torch.bool).index_fill(0, rows, 0)
        return decode(self.vocabulary, torch.cat(columns, 1)[has_ended], self.options.min_length)


def sample(
    network: Network,
    vocabulary: Vocabulary,
    options: SamplingOptions,
    is_new: Callable[[list[str]], list[bool]],
    num_rows: int = SAMPLE_BATCH_SIZE,
) -> list[str]:
    """Sample `options.num_samples` items at once; fewer if `Selection` gives up. Arguments: see both classes."""
    sampler = Sampler(network, vocabulary, options, num_rows)
    return Selection(options, is_new, lambda: num_rows).items_of(sampler.sample_batch)
