"""The pairs of a window and a state of the automaton that prefixes can reach.

The next id of a table model depends on a window of C ids. Under a condition, everything about a prefix that matters is
its window and its state of the automaton. Often the window determines the state, so far fewer pairs are reachable than
there are windows times states: the graph has room for conditions with thousands of states.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm_lightning.sampling.conditions.automata.automaton import reachable
from mm_lightning.sampling.conditions.condition import Condition

_CHUNK = 1 << 16  # nodes whose edges are computed at once


@dataclass(frozen=True)
class Graph:
    """A graph whose nodes 0 to P - 1 are reachable pairs; the last node rejects every continuation.

    Args:
        windows: (P,) int64, the window of each node: its ids as digits, the last id lowest.
        next_nodes: (P, V) int32, the next node by node and id; the boundary leads to the last node.
        is_accepting: (P,) bool, whether an item may end in the node.
        start: Node of the condition's prefix.
    """

    windows: Tensor
    next_nodes: Tensor
    is_accepting: Tensor
    start: int

    @classmethod
    def of(cls, condition: Condition, context: int, max_edges: int) -> "Graph | None":
        """Make the graph for windows of `context` ids; None if it would have more than `max_edges` edges."""
        transitions, num_states = condition.automaton.transitions, len(condition.automaton)
        vocab_size = transitions.shape[1]
        num_windows = vocab_size**context
        rejected = num_windows * num_states - 1
        ids = np.arange(vocab_size)

        def step(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
            windows: NDArray[np.int64] = ((pairs // num_states)[:, None] * vocab_size + ids) % num_windows
            states = transitions[pairs % num_states]
            reached = windows * num_states + states  # (N, V)
            reached[states == num_states - 1] = rejected
            return reached

        window = 0
        for i in condition.prefix:
            window = (window * vocab_size + i) % num_windows
        start = window * num_states + condition.start_state
        pairs = reachable(start, rejected, step, max_edges // vocab_size)
        if pairs is None:
            return None
        next_nodes = np.empty((len(pairs), vocab_size), np.int32)
        for i in range(0, len(pairs), _CHUNK):
            next_nodes[i : i + _CHUNK] = np.searchsorted(pairs, step(pairs[i : i + _CHUNK]))
        return cls(
            torch.from_numpy(pairs // num_states),
            torch.from_numpy(next_nodes),
            torch.from_numpy(condition.automaton.accepting[pairs % num_states]),
            int(np.searchsorted(pairs, start)),
        )

    def __len__(self) -> int:
        """Number of nodes P."""
        return len(self.windows)

    def starts(self, num_rows: int) -> Tensor:
        """Return the nodes (B,) of rows that have read the prefix."""
        return torch.full((num_rows,), self.start)

    def advance(self, nodes: Tensor, ids: Tensor) -> Tensor:
        """Return the nodes (B,) after one more id (B,)."""
        return self.next_nodes[nodes, ids].long()
