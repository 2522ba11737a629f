"""New words from a network.

Words are drawn in blocks of fixed size, each from a random stream of its own keyed by (seed, block), by inverting the
cumulative distribution: word i is the same whether ten or ten thousand are asked for, on any device, and no global
random state is touched.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mm_lightning.networks.base import Advance, Network, State
from mm_lightning.vocabulary import BOUNDARY, Vocabulary

BLOCK = 1024  # words drawn together
DRAWS_PER_SAMPLE = 100  # how often to try, per word asked for, before giving up


@dataclass
class SamplingOptions:
    """What to draw.

    A word that does not end within `max_length` is dropped and another drawn in its place. `unique`, `only_new` and
    `max_length` can so make N words unreachable; drawing stops after 100 draws per word asked for (a whole number of
    blocks of 1,024), and says how many were found.

    Args:
        num_samples: Words wanted.
        temperature: Divides the logits; 0 takes the most likely character each time.
        top_k: Draw from the k most likely characters only; null for all.
        top_p: Draw from the most likely characters that together reach this probability, in (0, 1].
        prefix: How every word begins; for a model of sentences whole words, as in "the old".
        min_length: Fewest characters (of a sentence: words), the prefix included.
        max_length: Most characters (of a sentence: words), the prefix included.
        seed: Same seed, same words.
        unique: Each word once.
        only_new: Leave out words of the training split.
        output: File to write instead of stdout: .txt with words, .csv or .jsonl with each word, its NLL in nats and
            whether it is new.
    """

    num_samples: int = 20
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    prefix: str = ""
    min_length: int = 1
    max_length: int = 1000
    seed: int = 42
    unique: bool = False
    only_new: bool = False
    output: Path | None = None

    def __post_init__(self) -> None:
        rules = {
            "num_samples": (self.num_samples >= 1, "at least 1"),
            "temperature": (0 <= self.temperature < float("inf"), "0 or more"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_length": (self.min_length >= 0, "0 or more"),
            "seed": (self.seed >= 0, "0 or more"),
            "max_length": (
                self.max_length >= max(self.min_length, 1),
                f"at least 1 and min_length ({self.min_length})",
            ),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ValueError(f"sampling.{name} is {getattr(self, name)}; it must be {rule}")


class Selection:
    """Which draws count, and when there are enough.

    Args:
        options: What is wanted.
        is_new: Tells for each of some words whether the training split lacks it.
        rows: Words drawn in a block.
    """

    def __init__(self, options: SamplingOptions, is_new: Callable[[list[str]], list[bool]], rows: int = BLOCK) -> None:
        self.options = options
        self.rows = rows
        self.num_found = 0
        self._is_new = is_new
        self._seen: set[str] = set()

    @property
    def max_blocks(self) -> int:
        """Blocks after which drawing stops."""
        return -(-DRAWS_PER_SAMPLE * self.options.num_samples // self.rows)

    def blocks(self) -> Iterator[int]:
        """Numbers of the blocks to draw, until there are enough words or no more tries."""
        return (i for i in range(self.max_blocks) if self.num_found < self.options.num_samples)

    def accept(self, drawn: list[str]) -> list[str]:
        """Those of the drawn words that count, in order."""
        if self.options.only_new:
            drawn = [word for word, new in zip(drawn, self._is_new(drawn), strict=True) if new]
        if self.options.unique:
            drawn = [word for word in dict.fromkeys(drawn) if word not in self._seen]
        drawn = drawn[: self.options.num_samples - self.num_found]
        if self.options.unique:
            self._seen.update(drawn)
        self.num_found += len(drawn)
        return drawn

    def shortfall(self) -> str | None:
        """One line that says what is missing, if anything is."""
        if self.num_found == self.options.num_samples:
            return None
        return (
            f"found {self.num_found} of {self.options.num_samples} words in {self.max_blocks * self.rows} draws; "
            "ask for fewer, a higher temperature or looser conditions"
        )


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
    """Draws words of a network, block by block.

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
        self._read_on = self._reader([*never, BOUNDARY])  # while a word is too short to end

    def _reader(self, never: list[int]) -> Advance:
        def cumulative(logits: Tensor) -> Tensor:
            logits = logits.double().cpu().index_fill(1, torch.tensor(never, dtype=torch.int64), -torch.inf)
            sums = probabilities(logits, self.options).cumsum(1)
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
            read = self._read_on if length < self.options.min_length else self._read
            cumulative, state = read(fresh, state)
            following = _choose(cumulative, torch.from_numpy(random.random(BLOCK)).index_select(0, rows))
            columns.append(following.new_zeros(self.rows).index_copy(0, rows, following)[:, None])
            still_open = following.nonzero().flatten()
            rows, fresh = rows.index_select(0, still_open), following.index_select(0, still_open)[:, None]
            if not len(rows):
                break
            state = tuple(part.index_select(0, still_open.to(part.device)) for part in state)
        ended = torch.ones(self.rows, dtype=torch.bool).index_fill(0, rows, 0)
        return self._decode(torch.cat(columns, 1)[ended])

    def _decode(self, ids: Tensor) -> list[str]:
        """Words of ids (W, T), each padded with boundaries; those left out that could not but end too early."""
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


def probabilities(logits: Tensor, options: SamplingOptions) -> Tensor:
    """Probabilities (B, V) of the next id under temperature, top_k and top_p, from logits (B, V)."""
    if logits.isnan().any():
        raise ValueError("the network's logits are not numbers: training diverged before this checkpoint")
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


def _choose(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Ids (B,) by inverse CDF from sums (B, V) of weights, not necessarily normalised, and numbers (B,) in [0, 1)."""
    place = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True).squeeze(1)
    return place.clamp(max=cumulative.shape[1] - 1)
