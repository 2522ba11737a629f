"""Backward messages: the probability that a prefix continues to an item that meets the condition.

The next id of a table model depends on a window of C ids. So the message of a prefix depends on its window, on the
state of the automaton and on its length alone. Messages are computed from the end backwards, for all windows and states
at once, as in hidden Markov models (Baum et al. 1970). Sampling each id by its probability times the message of the
longer prefix gives the model's items under the condition.

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

MAX_NUMBERS = 1 << 25  # in all messages together, 256 MiB
_MIN_ACCEPTANCE_RATE = 0.99  # of samples by the upper bound; below, messages for every length are preferred
_MIN_STEPS = 16  # of the upper bound before the first check of its acceptance rate; each later check doubles the steps


class Messages(ABC):
    """Messages of prefixes, by length, window and state of the automaton.

    Shapes: W = V^C windows, each indexed by its ids as digits, the last id lowest; Q states; B rows.

    Args:
        table: (W, V) float64, probabilities of the next id after every window of C ids; C can be 0.
        condition: The condition.

    Attributes:
        first_length: Length of the shortest prefix that has a message: the length of the condition's prefix.
    """

    def __init__(self, table: Tensor, condition: Condition) -> None:
        automaton = condition.automaton
        self._condition = condition
        self._num_windows, self._vocab_size = table.shape
        self._num_states = len(automaton)
        self._transitions = torch.from_numpy(automaton.transitions)  # (Q, V)
        self._accepting = torch.from_numpy(automaton.accepting).double()  # (Q,)
        num_tails = max(self._num_windows // self._vocab_size, 1)  # a tail is a window without its first id
        self._next_windows = torch.arange(num_tails * self._vocab_size).view(num_tails, -1) % self._num_windows
        self._end_probabilities = table[:, BOUNDARY, None] * self._accepting  # (W, Q)
        continued = table.index_fill(1, torch.tensor([BOUNDARY]), 0).view(-1, num_tails, self._vocab_size)
        self._continue_probabilities = continued.transpose(0, 1)  # (tails, first id, next id)
        self.first_length = len(condition.prefix)
        self._min_end_length = max(condition.min_length, self.first_length)
        self._messages: list[Tensor] = []  # (W * Q) each, for lengths from `first_length` on
        self._shared_index = 0  # index of the message that serves several lengths
        self._num_extra_lengths = 0  # lengths that this message serves beyond its own

    def start(self, num_rows: int) -> tuple[Tensor, Tensor]:
        """Return windows (B,) and states (B,) of rows that have read the prefix."""
        window = torch.zeros(1, dtype=torch.int64)
        for i in self._condition.prefix:
            window = self._next_window(window, torch.tensor([i]))
        return window.repeat(num_rows), torch.full((num_rows,), self._condition.start_state)

    def advance(self, windows: Tensor, states: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return windows (B,) and states (B,) after one more id (B,)."""
        return self._next_window(windows, ids), self._transitions[states, ids]

    def _next_window(self, windows: Tensor, ids: Tensor) -> Tensor:
        return (windows * self._vocab_size + ids) % self._num_windows

    def message(self, length: int, windows: Tensor, states: Tensor) -> Tensor:
        """Return the messages (B,) of prefixes of one length."""
        return self._at(length).index_select(0, windows * self._num_states + states)

    def next_weights(self, length: int, probabilities: Tensor, windows: Tensor, states: Tensor) -> Tensor:
        """Multiply probabilities (B, V) of the next id with the messages of the prefixes that each id leads to.

        Args:
            length: Length of the prefixes before the next id.
            probabilities: (B, V) of the next id.
            windows: (B,) of the prefixes.
            states: (B,) of the prefixes.
        """
        index = self._next_window(windows[:, None], torch.arange(self._vocab_size)) * self._num_states
        index += self._transitions.index_select(0, states)
        messages = self._at(length + 1).index_select(0, index.flatten()).view_as(index)
        messages[:, BOUNDARY] = self._accepting.index_select(0, states) if length >= self._min_end_length else 0
        return probabilities * messages

    def _at(self, length: int) -> Tensor:
        """Return the messages (W * Q) of prefixes of one length."""
        index = length - self.first_length
        if index > self._shared_index:
            index = max(self._shared_index, index - self._num_extra_lengths)
        return self._messages[min(index, len(self._messages) - 1)]

    def _store(self, backward: list[Tensor], num_extra_lengths: int) -> None:
        """Continue the messages to the shortest prefix, and store them by rising length.

        Args:
            backward: (W, Q) each, by falling length; the last one is for the shortest length at which an item may end.
            num_extra_lengths: Lengths that the last one serves beyond its own.
        """
        self._shared_index, self._num_extra_lengths = self._min_end_length - self.first_length, num_extra_lengths
        for _ in range(self._shared_index):
            backward.append(self._step_back(backward[-1], may_end=False))
        self._messages = [message.flatten() for message in reversed(backward)]

    def _step_back(self, message: Tensor, may_end: bool) -> Tensor:
        """Return the message (W, Q) of prefixes that are one id shorter."""
        after = message[self._next_windows[:, :, None], self._transitions.T]  # (tails, V, Q)
        continued = self._combine(after).transpose(0, 1).flatten(0, 1)
        return self._join(continued, self._end_probabilities) if may_end else continued

    @abstractmethod
    def _combine(self, after: Tensor) -> Tensor:
        """Combine messages (tails, next id, Q) over the next id, weighted by its probability: (tails, first id, Q)."""

    @abstractmethod
    def _join(self, continued: Tensor, ended: Tensor) -> Tensor:
        """Join the messages (W, Q) of prefixes that continue and of prefixes that end."""


class SumProductMessages(Messages):
    """Messages that are the probability of any continuation under the condition, or an upper bound of it.

    Args:
        table: (W, V) float64, probabilities of the next id after every window of C ids; C can be 0.
        condition: The condition.

    Attributes:
        is_possible: Whether any item meets the condition with a probability above 0 in double precision.
        acceptance_rate: Share of items sampled by `next_weights` that rejection accepts. An item over `max_length` is
            rejected. Any other item is accepted with a probability that is a product over its ids: the sum of
            `next_weights` divided by `message`. Accepted items are exact samples.
    """

    def __init__(self, table: Tensor, condition: Condition) -> None:
        super().__init__(table, condition)
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
        """Compute the upper bound (W, Q) and its acceptance rate, with steps until the rate is high."""
        lower = torch.zeros_like(self._end_probabilities)
        upper = torch.ones_like(lower).index_fill(1, torch.tensor([self._num_states - 1]), 0)
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
        """Return the message of the condition's prefix, from the message (W, Q) of the shortest length that may end."""
        for _ in range(self._min_end_length - self.first_length):
            message = self._step_back(message, may_end=False)
        windows, states = self.start(1)
        return float(message[windows, states])

    @override
    def _combine(self, after: Tensor) -> Tensor:
        return torch.bmm(self._continue_probabilities, after)

    @override
    def _join(self, continued: Tensor, ended: Tensor) -> Tensor:
        return continued + ended


class MaxProductMessages(Messages):
    """Messages that are the probability of the most likely continuation under the condition (Viterbi 1967).

    Args:
        table: (W, V) float64, probabilities of the next id after every window of C ids; C can be 0.
        condition: The condition.
    """

    def __init__(self, table: Tensor, condition: Condition) -> None:
        super().__init__(table, condition)
        num_end_lengths = condition.max_length - self._min_end_length + 1
        backward = [torch.zeros_like(self._end_probabilities)]
        while len(backward) <= num_end_lengths:
            backward.append(self._step_back(backward[-1], may_end=True))
            if torch.equal(backward[-1], backward[-2]):  # longer continuations are never more likely
                break
        self._store(backward, num_end_lengths + 1 - len(backward))

    @override
    def _combine(self, after: Tensor) -> Tensor:
        by_state = [
            (self._continue_probabilities * after[:, None, :, state]).amax(2) for state in range(self._num_states)
        ]
        return torch.stack(by_state, 2)

    @override
    def _join(self, continued: Tensor, ended: Tensor) -> Tensor:
        return torch.maximum(continued, ended)
