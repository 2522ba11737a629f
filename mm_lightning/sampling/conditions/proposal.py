"""A table model for the proposal distribution of a network whose context is too long for a table of its own.

The model is an n-gram model of items that the network samples. It directs sampling and search under a condition; its
errors are corrected by the network's own probabilities.
"""

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import KneserNey
from mm_lightning.networks.base import Network
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.graph import Graph
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.probabilities import next_probabilities
from mm_lightning.sampling.sampler import Sampler

_NUM_BATCHES = 4  # of items that are counted
_MIN_MAX_LENGTH = 50  # tokens; lower limits would leave too few items to count
_MAX_CONTEXT = 2  # ids
_MAX_NUMBERS = 1 << 20  # in a table
_MAX_EDGES = 1 << 24  # of a graph


def proposal(network: Network, condition: Condition, options: SamplingOptions) -> tuple[Tensor, Graph]:
    """Sample items without a condition, and fit an n-gram model to these items.

    Returns:
        The model's probabilities (V^C, V) of the next id after every window, and the condition's graph for its windows.
        C is at most 2, and falls with the size of the vocabulary and of the graph.
    """
    vocabulary = condition.vocabulary
    options = replace(options, min_length=0, max_length=max(options.max_length, _MIN_MAX_LENGTH))
    sampler = Sampler(network, vocabulary, options)
    items = [item for batch in range(_NUM_BATCHES) for item in sampler.sample_batch(batch)]
    context, graph = _largest_graph(condition)
    return ngram_table(items or [""], vocabulary, context), graph  # items that never end give no information


def _largest_graph(condition: Condition) -> tuple[int, Graph]:
    """Return the largest context whose table and graph have room, and the graph."""
    for context in range(_MAX_CONTEXT, 0, -1):
        if len(condition.vocabulary) ** (context + 1) <= _MAX_NUMBERS:
            graph = Graph.of(condition, context, _MAX_EDGES)
            if graph is not None:
                return context, graph
    graph = Graph.of(condition, 0, condition.automaton.transitions.size)
    assert graph is not None  # the nodes are states of the automaton
    return 0, graph


def ngram_table(items: list[str], vocabulary: Vocabulary, context: int) -> Tensor:
    """Compute probabilities (V^C, V) of the next id after every window of C ids, from counts."""
    without_options = partial(next_probabilities, vocabulary=vocabulary, options=SamplingOptions())
    encoded = encode(Items.from_strings(items), vocabulary)
    if context == 0:
        counts = encoded.stream.long().bincount(minlength=len(vocabulary)).double() + 1
        return without_options(counts.log()[None])
    windows = Windows(encoded, context)
    network = KneserNey(len(vocabulary), context)
    network.count(*windows.gather(torch.arange(len(windows))))
    table = network.window_table(without_options, len(vocabulary))
    assert table is not None  # the limit on numbers is lower than the network's
    return table.rows()
