"""New words from a network, as it makes them.

Items are drawn in blocks of fixed size, each from a random stream of its own keyed by (seed, block), by inverting the
cumulative distribution: word i is the same whether ten or ten thousand are asked for, on any device, and no global
random state is touched.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks.base import AdvanceFunction, Network, State
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.probabilities import exclude_ids, inverse_cdf, probabilities
from mm_lightning.sampling.selection import Selection


def _encode_prefix(vocabulary: Vocabulary, options: SamplingOptions) -> list[int]:
    """Ids of the boundary and the prefix.

    Raises:
        UserError: If the prefix has a character that the vocabulary lacks, or is longer than a word may be.
    """
    ids = vocabulary.encode_item(options.prefix)
    if len(ids) > options.max_length:
        raise UserError(
            f"sampling.max_length is {options.max_length}; it must be at least the length of the prefix ({len(ids)})"
        )
    return [BOUNDARY, *ids]


class Sampler:
    """Draws words of a network, block by block; those over max_length or below min_length are dropped.

    Args:
        network: The network, in eval mode when it comes to drawing.
        vocabulary: Its ids.
        options: What to draw.
        rows: How many words of a block are drawn, its first; they are the same for any number.

    Raises:
        UserError: If the prefix has a character that the vocabulary lacks, or is longer than a word may be.
    """

    def __init__(
        self, network: Network, vocabulary: Vocabulary, options: SamplingOptions, rows: int = SAMPLE_BATCH_SIZE
    ) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.options = options
        self.rows = rows
        self._prefix = _encode_prefix(vocabulary, options)
        never = list(vocabulary.unsampled_ids)
        self._read = self._reader(never)
        must_go_on = options.min_length >= len(self._prefix)  # to drop what ended at once would come to the same
        self._read_first = self._reader([*never, BOUNDARY]) if must_go_on else self._read

    def _reader(self, never: list[int]) -> AdvanceFunction:
        def cumulative(logits: Tensor) -> Tensor:
            sums = probabilities(exclude_ids(logits, never), self.options).cumsum(1)
            return sums.nan_to_num(1.0)  # where nothing is possible, the word ends

        return self.network.advance_function(cumulative, len(self.vocabulary))

    @torch.no_grad()
    def sample_batch(self, block: int) -> list[str]:
        """Draw one block; those of its words that ended, in the order of their rows.

        Raises:
            UserError: If the network's logits are not numbers.
        """
        assert not self.network.training, "sampling needs eval mode"
        random = np.random.default_rng([self.options.seed, block])
        fresh = torch.tensor(self._prefix).repeat(self.rows, 1)  # (rows still open, T), not yet read
        columns = [fresh[:, 1:]]
        state: State = ()
        rows = torch.arange(self.rows)  # still open
        for length in range(len(self._prefix) - 1, self.options.max_length + 1):
            read = self._read_first if length == len(self._prefix) - 1 else self._read
            cumulative, state = read(fresh, state)
            following = inverse_cdf(
                cumulative, torch.from_numpy(random.random(SAMPLE_BATCH_SIZE)).index_select(0, rows)
            )
            columns.append(following.new_zeros(self.rows).index_copy(0, rows, following)[:, None])
            still_open = following.nonzero().flatten()
            rows, fresh = rows.index_select(0, still_open), following.index_select(0, still_open)[:, None]
            if not len(rows):
                break
            state = tuple(part.index_select(0, still_open.to(part.device)) for part in state)
        ended = torch.ones(self.rows, dtype=torch.bool).index_fill(0, rows, 0)
        return self._decode(torch.cat(columns, 1)[ended])

    def _decode(self, ids: Tensor) -> list[str]:
        """Items of ids (W, T), each padded with boundaries; those left out that end too early."""
        lengths = (ids != BOUNDARY).sum(1)
        is_long = lengths >= self.options.min_length
        ids, lengths = ids[is_long], lengths[is_long]
        return self.vocabulary.decode_all(ids[ids != BOUNDARY].numpy(), lengths.numpy())


def sample(
    network: Network,
    vocabulary: Vocabulary,
    options: SamplingOptions,
    is_new: Callable[[list[str]], list[bool]],
    rows: int = SAMPLE_BATCH_SIZE,
) -> list[str]:
    """Draw words, so many at once; fewer than asked for where `Selection` gives up."""
    sampler, selection = Sampler(network, vocabulary, options, rows), Selection(options, is_new, rows)
    return [word for block in selection.batches() for word in selection.accept(sampler.sample_batch(block))]
