"""New words from a network, as it makes them.

Words are drawn in blocks of fixed size, each from a random stream of its own keyed by (seed, block), by inverting the
cumulative distribution: word i is the same whether ten or ten thousand are asked for, on any device, and no global
random state is touched.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from mm_lightning.networks.base import Advance, Network, State
from mm_lightning.sampling.options import BLOCK, SamplingOptions
from mm_lightning.sampling.selection import Selection
from mm_lightning.vocabulary import BOUNDARY, Vocabulary


def _encode_prefix(vocabulary: Vocabulary, options: SamplingOptions) -> list[int]:
    """Ids of the boundary and the prefix.

    Raises:
        ValueError: If the prefix has a character that the vocabulary lacks, or is longer than a word may be.
    """
    ids = vocabulary.encode_word(options.prefix)
    if len(ids) > options.max_length:
        raise ValueError(
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
        ValueError: If the prefix has a character that the vocabulary lacks, or is longer than a word may be.
    """

    def __init__(self, network: Network, vocabulary: Vocabulary, options: SamplingOptions, rows: int = BLOCK) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.options = options
        self.rows = rows
        self._prefix = _encode_prefix(vocabulary, options)
        never = list(vocabulary.never_drawn)
        self._read = self._reader(never)
        must_go_on = options.min_length >= len(self._prefix)  # to drop what ended at once would come to the same
        self._read_first = self._reader([*never, BOUNDARY]) if must_go_on else self._read

    def _reader(self, never: list[int]) -> Advance:
        def cumulative(logits: Tensor) -> Tensor:
            sums = probabilities(without(logits, never), self.options).cumsum(1)
            return sums.nan_to_num(1.0)  # where nothing is possible, the word ends

        return self.network.reader(cumulative, len(self.vocabulary))

    @torch.no_grad()
    def draw(self, block: int) -> list[str]:
        """Draw one block; those of its words that ended, in the order of their rows.

        Raises:
            ValueError: If the network's logits are not numbers.
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
            following = choose(cumulative, torch.from_numpy(random.random(BLOCK)).index_select(0, rows))
            columns.append(following.new_zeros(self.rows).index_copy(0, rows, following)[:, None])
            still_open = following.nonzero().flatten()
            rows, fresh = rows.index_select(0, still_open), following.index_select(0, still_open)[:, None]
            if not len(rows):
                break
            state = tuple(part.index_select(0, still_open.to(part.device)) for part in state)
        ended = torch.ones(self.rows, dtype=torch.bool).index_fill(0, rows, 0)
        return self._decode(torch.cat(columns, 1)[ended])

    def _decode(self, ids: Tensor) -> list[str]:
        """Words of ids (W, T), each padded with boundaries; those left out that end too early."""
        lengths = (ids != BOUNDARY).sum(1)
        is_long = lengths >= self.options.min_length
        ids, lengths = ids[is_long], lengths[is_long]
        return self.vocabulary.decode_all(ids[ids != BOUNDARY].numpy(), lengths.numpy())


def sample(
    network: Network,
    vocabulary: Vocabulary,
    options: SamplingOptions,
    is_new: Callable[[list[str]], list[bool]],
    rows: int = BLOCK,
) -> list[str]:
    """Draw words, so many at once; fewer than asked for where `Selection` gives up."""
    sampler, selection = Sampler(network, vocabulary, options, rows), Selection(options, is_new, rows)
    return [word for block in selection.blocks() for word in selection.accept(sampler.draw(block))]


def numbers(logits: Tensor) -> Tensor:
    """The logits, if none is NaN.

    Raises:
        ValueError: If one is.
    """
    if logits.isnan().any():
        raise ValueError("the network's logits are not numbers: training diverged before this checkpoint")
    return logits


def probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Probabilities (B, V) of the next id under temperature, top_k and top_p, from logits (B, V)."""
    logits = numbers(logits)
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


def without(logits: Tensor, never: Sequence[int]) -> Tensor:
    """Logits (B, V) in float64 on the CPU under which these ids are impossible."""
    return logits.double().cpu().index_fill(1, torch.tensor(never, dtype=torch.int64), -torch.inf)


def choose(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Places (B,) by inverse CDF from sums (B, V) of weights, not necessarily normalised, and numbers in [0, 1)."""
    total = cumulative[:, -1:]
    wanted = (uniform[:, None] * total).minimum(total.nextafter(torch.zeros_like(total)))  # as rounding may reach it
    return torch.searchsorted(cumulative, wanted, right=True).squeeze(1).clamp(max=cumulative.shape[1] - 1)
