"""Words drawn along a guide: exactly, where it is made of the network's own table; else by resampling.

The table's draws need no luck: each id is drawn by its probability times the chance of what follows.

A network that sees further has no such table. It is guided by a model of short context, counted from words that the
network drew: an id's weight is the network's own probability times the guide's chance. Where the guide errs, the words
are drawn too often or too rarely; each carries the quotient, and among 64 that compete for one place those far behind
are replaced by copies of those ahead (sequential Monte Carlo, Doucet et al. 2001, with the guide as its twist). One is
taken. Every word has competitors of its own, so words are independent; their distribution differs from the model's,
conditioned, by a term that falls as one over the number of competitors, and by none where the guide is right.
"""

import numpy as np
import torch
from torch import Tensor

from mm_lightning.networks.base import Network, State
from mm_lightning.sampling.constraints import Condition
from mm_lightning.sampling.drawing import choose, probabilities, without
from mm_lightning.sampling.guidance import Chances
from mm_lightning.sampling.options import BLOCK, SamplingOptions
from mm_lightning.vocabulary import BOUNDARY, Vocabulary

_COMPETITORS = 64  # for the place of one word
_GROUPS = BLOCK // _COMPETITORS


def next_probabilities(logits: Tensor, vocabulary: Vocabulary, options: SamplingOptions) -> Tensor:
    """Probabilities (B, V) of the next id as it would be drawn without a condition."""
    result = probabilities(without(logits, vocabulary.never_drawn), options)
    result = result / result.sum(1, keepdim=True)
    ends = torch.zeros_like(result).index_fill(1, torch.tensor([BOUNDARY]), 1)
    return result.where(result.isfinite(), ends)  # where nothing is possible, the word ends


class ExactSampler:
    """Draws from the words of a table under a condition.

    Args:
        table: (V^C, V) float64, probabilities of the next id behind every window.
        guide: Made of the same table.
        condition: What words are wanted.
        seed: Same seed, same words.
    """

    def __init__(self, table: Tensor, guide: Chances, condition: Condition, seed: int) -> None:
        self._table = table
        self._guide = guide
        self._condition = condition
        self._seed = seed

    def draw(self, block: int) -> list[str]:
        """Draw one block; its words in the order of their rows."""
        random = np.random.default_rng([self._seed, block])
        limit = torch.from_numpy(random.random(BLOCK))
        windows, states = self._guide.start(BLOCK)
        rows = torch.arange(BLOCK)  # still open
        kept = torch.ones(BLOCK, dtype=torch.float64)
        columns = [torch.tensor(self._condition.prefix, dtype=torch.int64).repeat(BLOCK, 1)]
        for length in range(self._guide.first, self._condition.max_length + 1):
            weights = self._guide.following(length, self._table.index_select(0, windows), windows, states)
            cumulative = weights.cumsum(1)
            kept[rows] *= cumulative[:, -1] / self._guide.worth(length, windows, states)
            ids = choose(cumulative, torch.from_numpy(random.random(BLOCK)).index_select(0, rows))
            columns.append(ids.new_zeros(BLOCK).index_copy(0, rows, ids)[:, None])
            open_rows = ids.nonzero().flatten()
            rows, ids, windows, states = (x.index_select(0, open_rows) for x in (rows, ids, windows, states))
            if not len(rows):
                break
            windows, states = self._guide.advance(windows, states, ids)
        kept[rows] = 0  # over the length
        return decode(self._condition.vocabulary, torch.cat(columns, 1)[limit < kept])


class Resampler:
    """Draws from a network's words under a condition, approximately.

    Args:
        network: In eval mode.
        guide: Made of a model that is like the network.
        condition: What words are wanted.
        options: What to draw.
    """

    def __init__(self, network: Network, guide: Chances, condition: Condition, options: SamplingOptions) -> None:
        self._guide = guide
        self._condition = condition
        self._options = options
        vocabulary = condition.vocabulary
        self._read = network.reader(
            lambda logits: next_probabilities(logits, vocabulary, options), len(condition.vocabulary)
        )

    def draw(self, block: int) -> list[str]:
        """Draw one block; the words that won their places, fewer where no competitor could be as it is wanted."""
        random = np.random.default_rng([self._options.seed, block])
        windows, states = self._guide.start(BLOCK)
        fresh = torch.tensor([BOUNDARY, *self._condition.prefix]).repeat(BLOCK, 1)
        words = fresh[:, 1:]
        rows = torch.arange(BLOCK)  # still open
        weights = torch.ones(BLOCK, dtype=torch.float64)  # within each group of competitors
        state: State = ()  # of the rows that are open
        for length in range(self._guide.first, self._condition.max_length + 1):
            before = windows.index_select(0, rows), states.index_select(0, rows)
            probabilities, state = self._read(fresh, state)
            cumulative = self._guide.following(length, probabilities, *before).cumsum(1)
            gain = cumulative[:, -1] / self._guide.worth(length, *before)
            weights[rows] *= gain.nan_to_num(0, posinf=0)  # 0 / 0 where nothing can be as it is wanted
            chosen = choose(cumulative, torch.from_numpy(random.random(BLOCK)).index_select(0, rows))
            ids = chosen.new_zeros(BLOCK).index_copy(0, rows, chosen.where(weights[rows] > 0, BOUNDARY))
            words = torch.cat([words, ids[:, None]], 1)
            windows, states = self._guide.advance(windows, states, ids)
            parents, weights = _compete(weights, torch.from_numpy(random.random(_GROUPS)))
            words, windows, states = (part.index_select(0, parents) for part in (words, windows, states))
            places = torch.zeros(BLOCK, dtype=torch.int64).index_copy(0, rows, torch.arange(len(rows)))
            rows, fresh = words[:, -1].nonzero().flatten(), words[:, -1:][words[:, -1] != BOUNDARY]
            if not len(rows):
                break
            places = places[parents[rows]]
            state = tuple(part.index_select(0, places.to(part.device)) for part in state)
        weights[rows] = 0  # over the length
        by_group = weights.view(_GROUPS, -1)
        winners = choose(by_group.cumsum(1), torch.from_numpy(random.random(_GROUPS)))
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


def decode(vocabulary: Vocabulary, ids: Tensor) -> list[str]:
    """Words of ids (W, T), each padded with boundaries."""
    return vocabulary.decode_all(ids[ids != BOUNDARY].numpy(), (ids != BOUNDARY).sum(1).numpy())
