"""Backward messages: the probability that a prefix continues to an item that meets the condition.

The message of a prefix depends on its node in the graph of windows and states and on its length alone. Messages are
computed from the end backwards, for all nodes at once, as in hidden Markov models (Baum et al. 1970). Sampling each id
by its probability times the message of the longer prefix gives the model's items under the condition.

A message for every length can need too much memory. An upper bound needs only one message for all lengths: the
recursion starts with 1 for every state that can still accept. After n steps, the bound is the probability to end under
the condition within n ids, or to continue without a contradiction. The bound falls as n grows. Samples by the bound
favour long items, by a factor that is known for each id. Rejection removes this excess, so samples are exact for any n.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor
from typing_extensions import override

from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.graph import Graph

MAX_NUMBERS = 1 << 25  # in all messages together, 256 MiB
_MIN_ACCEPTANCE_RATE = 0.99  # of samples by the upper bound; below, messages for every length are preferred
_CHUNK = 1 << 12  # nodes that are combined at once; their products fit the processor's cache
_MIN_STEPS = 16  # of the upper bound before the first check of its acceptance rate; each later check doubles the steps


def _after(message: Tensor, next_nodes: Tensor) -> Tensor:
    """Return the messages (B, V) of the prefixes that each id leads to, from a message (P,)."""
    return message.index_select(0, next_nodes.flatten()).view(next_nodes.shape)


class Messages(ABC):
    """Messages of prefixes, by length and node of the graph.

    Shapes: P nodes, B rows.

    Args:
        table: (V^C, V) float64, probabilities of the next id after every window of C ids; C can be 0.
        graph: Graph of the condition for windows of C ids.
        condition: The condition.

    Attributes:
        graph: The graph.
        first_length: Length of the shortest prefix that has a message: the length of the condition's prefix.
    """

    def __init__(self, table: Tensor, graph: Graph, condition: Condition) -> None:
        self.graph = graph
        self._probabilities = table.index_select(0, graph.windows)  # (P, V)
        self._is_accepting = graph.is_accepting.double()  # (P,)
        self._end_probabilities = self._probabilities[:, BOUNDARY] * self._is_accepting  # (P,)
        self.first_length = len(condition.prefix)
        self._min_end_length = max(condition.min_length, self.first_length)
        self._messages: list[Tensor] = []  # (P,) each, for lengths from `first_length` on
        self._shared_index = 0  # index of the message that serves several lengths
        self._num_extra_lengths = 0  # lengths that this message serves beyond its own

    def probabilities(self, nodes: Tensor) -> Tensor:
        """Return the table's probabilities (B, V) of the next id after nodes (B,)."""
        return self._probabilities.index_select(0, nodes)

    def message(self, length: int, nodes: Tensor) -> Tensor:
        """Return the messages (B,) of prefixes of one length, with nodes (B,)."""
        return self._at(length).index_select(0, nodes)

    def next_weights(self, length: int, probabilities: Tensor, nodes: Tensor) -> Tensor:
        """Multiply probabilities (B, V) of the next id with the messages of the prefixes that each id leads to.

        Args:
            length: Length of the prefixes before the next id.
            probabilities: (B, V) of the next id.
            nodes: (B,) of the prefixes.
        """
        messages = _after(self._at(length + 1), self.graph.next_nodes.index_select(0, nodes))
        can_end = length >= self._min_end_length
        messages[:, BOUNDARY] = self._is_accepting.index_select(0, nodes) if can_end else 0
        return probabilities * messages

    def _at(self, length: int) -> Tensor:
        """Return the messages (P,) of prefixes of one length."""
        index = length - self.first_length
        if index > self._shared_index:
            index = max(self._shared_index, index - self._num_extra_lengths)
        return self._messages[min(index, len(self._messages) - 1)]

    def _store(self, backward: list[Tensor], num_extra_lengths: int) -> None:
        """Continue the messages to the shortest prefix, and store them by rising length.

        Args:
            backward: (P,) each, by falling length; the last one is for the shortest length at which an item may end.
            num_extra_lengths: Lengths that the last one serves beyond its own.
        """
        self._shared_index, self._num_extra_lengths = self._min_end_length - self.first_length, num_extra_lengths
        for _ in range(self._shared_index):
            backward.append(self._step_back(backward[-1], may_end=False))
        self._messages = backward[::-1]

    def _step_back(self, message: Tensor, may_end: bool) -> Tensor:
        """Return the message (P,) of prefixes that are one id shorter."""
        parts = zip(torch.split(self._probabilities, _CHUNK), torch.split(self.graph.next_nodes, _CHUNK), strict=True)
        continued = torch.cat([self._combine(values, _after(message, nodes)) for values, nodes in parts])
        return self._join(continued, self._end_probabilities) if may_end else continued

    @abstractmethod
    def _combine(self, probabilities: Tensor, messages: Tensor) -> Tensor:
        """Combine messages (B, V) over the next id, each multiplied with the id's probability (B, V): (B,)."""

    @abstractmethod
    def _join(self, continued: Tensor, ended: Tensor) -> Tensor:
        """Join the messages (P,) of prefixes that continue and of prefixes that end."""


class SumProductMessages(Messages):
    """Messages that are the probability of any continuation under the condition, or an upper bound of it.

    Args:
        table: (V^C, V) float64, probabilities of the next id after every window of C ids; C can be 0.
        graph: Graph of the condition for windows of C ids.
        condition: The condition.

    Attributes:
        is_possible: Whether any item meets the condition with a probability above 0 in double precision.
        acceptance_rate: Share of items sampled by `next_weights` that rejection accepts. An item over `max_length` is
            rejected. Any other item is accepted with a probability that is a product over its ids: the sum of
            `next_weights` divided by `message`. Accepted items are exact samples.
    """

    def __init__(self, table: Tensor, graph: Graph, condition: Condition) -> None:
        super().__init__(table, graph, condition)
        num_end_lengths = condition.max_length - self._min_end_length + 1
        bound, self.acceptance_rate = self._upper_bound(num_end_lengths)
        backward, num_extra_lengths = [bound], condition.max_length
        self.is_possible = self.acceptance_rate > 0
        num_messages = condition.max_length - self.first_length + 2
        has_room = num_messages * self._end_probabilities.numel() <= MAX_NUMBERS
        if self.acceptance_rate < _MIN_ACCEPTANCE_RATE and self.is_possible and has_room:
            backward, num_extra_lengths = [torch.zeros_like(self._end_probabilities)], 0
            for _ in range(num_end_lengths):
                backward.append(self._step_back(backward[-1], may_end=True))
            self.acceptance_rate = 1.0
        self._store(backward, num_extra_lengths)

    def _upper_bound(self, num_end_lengths: int) -> tuple[Tensor, float]:
        """Compute the upper bound (P,) and its acceptance rate, with steps until the rate is high."""
        lower = torch.zeros_like(self._end_probabilities)
        upper = torch.ones_like(lower).index_fill(0, torch.tensor([len(self.graph) - 1]), 0)
        num_steps, acceptance_rate, bound = 0, 0.0, 1.0
        while num_steps < num_end_lengths and acceptance_rate < _MIN_ACCEPTANCE_RATE and bound > 0:
            num_more = min(max(_MIN_STEPS, num_steps), num_end_lengths - num_steps)
            for _ in range(num_more):
                upper, lower = self._step_back(upper, may_end=True), self._step_back(lower, may_end=True)
            num_steps += num_more
            probability, bound = self._message_of_prefix(lower), self._message_of_prefix(upper)
            acceptance_rate = probability / bound if probability > 0 else 0.0
        return upper, acceptance_rate

    def _message_of_prefix(self, message: Tensor) -> float:
        """Return the message of the condition's prefix, from the message (P,) of the shortest length that may end."""
        for _ in range(self._min_end_length - self.first_length):
            message = self._step_back(message, may_end=False)
        return float(message[self.graph.start])

    @override
    def _combine(self, probabilities: Tensor, messages: Tensor) -> Tensor:
        return torch.einsum("bv,bv->b", probabilities, messages)

    @override
    def _join(self, continued: Tensor, ended: Tensor) -> Tensor:
        return continued + ended


class MaxProductMessages(Messages):
    """Messages that are the probability of the most likely continuation under the condition (Viterbi 1967).

    Args:
        table: (V^C, V) float64, probabilities of the next id after every window of C ids; C can be 0.
        graph: Graph of the condition for windows of C ids.
        condition: The condition.
    """

    def __init__(self, table: Tensor, graph: Graph, condition: Condition) -> None:
        super().__init__(table, graph, condition)
        num_end_lengths = condition.max_length - self._min_end_length + 1
        backward = [torch.zeros_like(self._end_probabilities)]
        while len(backward) <= num_end_lengths:
            backward.append(self._step_back(backward[-1], may_end=True))
            if torch.equal(backward[-1], backward[-2]):  # longer continuations are never more likely
                break
        self._store(backward, num_end_lengths + 1 - len(backward))

    @override
    def _combine(self, probabilities: Tensor, messages: Tensor) -> Tensor:
        return (probabilities * messages).amax(1)

    @override
    def _join(self, continued: Tensor, ended: Tensor) -> Tensor:
        return torch.maximum(continued, ended)
