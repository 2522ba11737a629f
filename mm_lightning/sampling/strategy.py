"""New words as they are asked for: by the plainest way that gets them.

Items of the network itself, dropped where they do not fit, have exactly the distribution that is wanted: what fits is
drawn so wherever it is not rare. Else a short context is drawn from its table, as exactly, and what sees further by
resampling.
"""

from dataclasses import replace
from functools import cached_property, partial

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks.base import Network
from mm_lightning.networks.ngram import KneserNey
from mm_lightning.sampling.conditions.beam import BeamSearch, log_probabilities
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.exact import ExactSampler
from mm_lightning.sampling.conditions.messages import ROOM, MaxProductMessages, SumProductMessages
from mm_lightning.sampling.conditions.resampling import Resampler
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.probabilities import next_probabilities
from mm_lightning.sampling.sampler import Sampler

_RARE = 1 / 32  # share of plain draws that fit, below which drawing is guided
_NUM_LAYERS = 32  # messages for which there should be room, at least
_COUNTED_BLOCKS = 4  # blocks of plain draws that a guide is counted from
_COUNTED_LENGTH = 50  # and the least length at which those are cut off
_COUNTED = 1 << 20  # most numbers in the table of a guide that is counted
_IMPOSSIBLE = (
    "no word as it is asked for has a probability above 0 for this model under these settings of sampling; "
    "loosen the conditions, or temperature, top_k and top_p"
)


class Fitting:
    """Plain draws, without those that do not fit.

    Args:
        network: In eval mode.
        condition: What words are wanted.
        options: What to draw.
    """

    def __init__(self, network: Network, condition: Condition, options: SamplingOptions) -> None:
        self._condition = condition
        if condition.is_shaped:
            options = replace(options, min_length=0)  # nothing is to change the probabilities before the condition
        self._sampler = Sampler(network, condition.vocabulary, options)

    @cached_property
    def first(self) -> list[str]:
        """The first block, by which it is decided how to draw."""
        return self._draw(0)

    def sample_batch(self, block: int) -> list[str]:
        """Those words of a block that fit, in the order of their rows."""
        return self._draw(block) if block else self.first

    def _draw(self, block: int) -> list[str]:
        words = self._sampler.sample_batch(block)
        if not self._condition.is_shaped:
            return words
        return [word for word, holds in zip(words, self._condition.holds(words), strict=True) if holds]


class ConditionalSampler:
    """Draws words of a network as they are asked for, block by block.

    Args:
        network: The network, in eval mode and with its weights when it comes to drawing.
        vocabulary: Its ids.
        options: What to draw.

    Raises:
        UserError: If no word at all can be as it is asked for.
    """

    def __init__(self, network: Network, vocabulary: Vocabulary, options: SamplingOptions) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.options = options
        self._condition = Condition(vocabulary, options)
        self._fitting = Fitting(network, self._condition, options)

    @torch.no_grad()
    def sample_batch(self, block: int) -> list[str]:
        """Draw one block.

        Raises:
            UserError: If the network's logits are not numbers, or hold what is asked for impossible.
        """
        assert not self.network.training, "sampling needs eval mode"
        return self._search(self.options.beam) if self.options.beam is not None else self._way.sample_batch(block)

    def _search(self, width: int) -> list[str]:
        guide = MaxProductMessages(self._guiding_table, self._condition)
        words = BeamSearch(self.network, guide, self._condition, width).search()
        if not words and self._table is not None:
            raise UserError(_IMPOSSIBLE)
        return words

    @cached_property
    def _way(self) -> Fitting | ExactSampler | Resampler:
        """How to draw; hangs on the seed, not on what was drawn before."""
        if (not self._condition.is_shaped or self._table is None) and len(
            self._fitting.first
        ) >= _RARE * SAMPLE_BATCH_SIZE:
            return self._fitting
        guide = SumProductMessages(self._guiding_table, self._condition)
        if self._table is not None and not guide.is_possible:
            raise UserError(_IMPOSSIBLE)
        if self._table is not None and guide.share >= _RARE:
            return ExactSampler(self._table, guide, self._condition, self.options.seed)
        rank_zero_info("what is asked for is rare: words are drawn by resampling, close to the model's distribution")
        return Resampler(self.network, guide, self._condition, self.options)

    @cached_property
    def _table(self) -> Tensor | None:
        """Probabilities (V^C, V) of the next id behind every window of the network; None where there is no room."""
        vocab_size, context = len(self.vocabulary), self.network.context
        table = self.network.window_table(self._probabilities, vocab_size)
        if table is None or context is None:
            return None
        num_layers = max(_NUM_LAYERS, self._condition.min_length)
        has_room = vocab_size**context * len(self._condition.automaton) * num_layers <= ROOM
        return table.rows() if has_room else None

    def _probabilities(self, logits: Tensor) -> Tensor:
        if self.options.beam is not None:
            return log_probabilities(logits, self.vocabulary).exp()
        return next_probabilities(logits, self.vocabulary, self.options)

    @cached_property
    def _guiding_table(self) -> Tensor:
        """The network's own table, or one counted from words that it draws."""
        if self._table is not None:
            return self._table
        longer = replace(self.options, min_length=0, max_length=max(self.options.max_length, _COUNTED_LENGTH))
        sampler = Sampler(self.network, self.vocabulary, longer)
        words = [word for block in range(_COUNTED_BLOCKS) for word in sampler.sample_batch(block)]
        return counted_table(words, self.vocabulary)


def counted_table(words: list[str], vocabulary: Vocabulary) -> Tensor:
    """Probabilities (V^C, V) of the next id behind every window, counted from words; C is 2 or, for many ids, less."""
    plain = partial(next_probabilities, vocabulary=vocabulary, options=SamplingOptions())
    encoded = encode(Items.from_strings(words or [""]), vocabulary)  # a network that ends no word tells nothing
    context = max((c for c in range(3) if len(vocabulary) ** (c + 1) <= _COUNTED), default=0)
    if context == 0:
        counts = encoded.stream.long().bincount(minlength=len(vocabulary)).double() + 1
        return plain(counts.log()[None])
    windows = Windows(encoded, context)
    network = KneserNey(len(vocabulary), context)
    network.count(*windows.gather(torch.arange(len(windows))))
    table = network.window_table(plain, len(vocabulary))
    assert table is not None
    return table.rows()
