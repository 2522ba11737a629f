"""The graph of windows and states against all prefixes."""

import random
from itertools import product

import torch
from enumeration import graph_of

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.graph import Graph
from mm_lightning.sampling.options import SamplingOptions


def test_the_nodes_are_the_pairs_that_prefixes_reach():
    """Catches nodes that no prefix reaches, missing ones, and a prefix that arrives at the node of another."""
    vocabulary = Vocabulary("abc")
    condition = Condition(vocabulary, SamplingOptions(prefix="ab", exclude=["bb", "cac", "abcb"], contains="cc"))
    last = len(condition.automaton) - 1
    for context in range(4):
        graph = graph_of(condition, context)
        pairs = {}
        for ids in (ids for length in range(7) for ids in product((1, 2, 3), repeat=length)):
            node, state = graph.starts(1), condition.automaton.run(ids, condition.start_state)
            for i in ids:
                node = graph.advance(node, torch.tensor([i]))
            if state == last:
                assert node == len(graph) - 1
            else:
                window = (0, 0, 0, 1, 2, *ids)[5 + len(ids) - context :]
                pairs.setdefault((window, state), node.item())
                assert pairs[window, state] == node
                assert graph.is_accepting[node] == condition.automaton.accepting[state]
                assert graph.windows[node] == sum(i * 4**place for place, i in enumerate(reversed(window)))
        assert len(set(pairs.values())) == len(pairs) == len(graph) - 1
        assert (graph.next_nodes[:, 0] == len(graph) - 1).all()
        assert Graph.of(condition, context, graph.next_nodes.numel()) is not None
        assert Graph.of(condition, context, graph.next_nodes.numel() - 1) is None


def test_many_texts_add_few_nodes():
    """Catches as many nodes as windows times states, which leaves no room for a list of hundreds of texts."""
    vocabulary, generator = Vocabulary("abcdefghij"), random.Random(0)
    texts = ["".join(generator.choices("abcdefghij", k=5)) for _ in range(500)]
    condition = Condition(vocabulary, SamplingOptions(exclude=texts))
    num_windows = 10**3 + 10**2 + 10 + 1
    assert len(graph_of(Condition(vocabulary, SamplingOptions()), 3)) - 1 == num_windows
    assert len(condition.automaton) > 500
    assert len(graph_of(condition, 3)) - 1 <= num_windows + len(texts)
