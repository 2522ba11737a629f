"""What the beginning of a word is worth: the chance that it goes on to a word as it is wanted.

The chance depends on the last C ids, the automaton's state and the length alone, where the next id depends on no more
than C ids. So it is computed from the end backwards, for all windows and states at once (the backward messages of
hidden Markov models, Baum et al. 1970). Drawing each id by its probability times the chance of what follows it is
drawing from the model's words under the condition.

Where words may be long, the messages are started in the middle, with 1 for everything from which acceptance is still
possible. After n steps they are the chance to be accepted within n ids or to be still under way, which only falls as n
grows. Used again at every length they draw too eagerly by what is still under way; how much is known at each id drawn,
so that the excess can be rejected and the draws remain exact for every n.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.sampling.conditions.condition import Condition

ROOM = 1 << 25  # most numbers in all messages, 256 MiB
_ENOUGH = 0.99  # share of draws under one message for all lengths that need no rejection
_STRIDE = 16  # steps before the first look at that share; each later look is after as many again


class Messages(ABC):
    """Messages for beginnings, given as the number of their window and the state of the automaton.

    Args:
        table: (V^C, V) float64, probabilities of the next id behind every window of C ids, which may be none.
        condition: What words are wanted.
    """

    def __init__(self, table: Tensor, condition: Condition) -> None:
        automaton = condition.automaton
        self._condition = condition
        self._num_windows, self._vocab_size = table.shape
        self._transitions = torch.from_numpy(automaton.transitions)
        self._accepting = torch.from_numpy(automaton.accepting).double()
        self._num_states = len(automaton)
        shorter = max(self._num_windows // self._vocab_size, 1)  # windows without their first id
        self._successors = torch.arange(shorter * self._vocab_size).view(shorter, -1) % self._num_windows
        self._ends = table[:, BOUNDARY, None] * self._accepting  # (W, Q)
        going_on = table.index_fill(1, torch.tensor([BOUNDARY]), 0).view(-1, shorter, self._vocab_size)
        self._rows = going_on.transpose(0, 1)  # (windows without their first id, first id, V)
        self.first = len(condition.prefix)  # length before the first draw
        self._last_short = max(condition.min_length, self.first)  # from here on a word may end
        self._layers: list[Tensor] = []  # (W * Q) for lengths from `first` on
        self._repeated = 0  # number of the layer that serves several lengths
        self._repeats = 0  # and how many more than one

    def start(self, num_rows: int) -> tuple[Tensor, Tensor]:
        """Windows (B,) and states (B,) of as many words that have the prefix."""
        window = torch.zeros(1, dtype=torch.int64)
        for i in self._condition.prefix:
            window = self._follow(window, torch.tensor([i]))
        return window.repeat(num_rows), torch.full((num_rows,), self._condition.start)

    def advance(self, windows: Tensor, states: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (B,) and states (B,) after one id more (B,)."""
        return self._follow(windows, ids), self._transitions[states, ids]

    def _follow(self, windows: Tensor, ids: Tensor) -> Tensor:
        return (windows * self._vocab_size + ids) % self._num_windows

    def worth(self, length: int, windows: Tensor, states: Tensor) -> Tensor:
        """Messages (B,) of beginnings of one length."""
        return self._layer(length).index_select(0, windows * self._num_states + states)

    def following(self, length: int, probabilities: Tensor, windows: Tensor, states: Tensor) -> Tensor:
        """Probabilities (B, V) of the next id, each times the message of what it leads to."""
        after = self._follow(windows[:, None], torch.arange(self._vocab_size)) * self._num_states
        after += self._transitions.index_select(0, states)
        worth = self._layer(length + 1).index_select(0, after.flatten()).view_as(after)
        worth[:, BOUNDARY] = self._accepting.index_select(0, states) if length >= self._last_short else 0
        return probabilities * worth

    def _layer(self, length: int) -> Tensor:
        place = length - self.first
        if place > self._repeated:
            place = max(self._repeated, place - self._repeats)
        return self._layers[min(place, len(self._layers) - 1)]

    def _keep(self, layers: list[Tensor], repeats: int) -> None:
        """Take layers that run backwards, the last of them for the shortest word that may end, and go on to the first.

        Args:
            layers: (W, Q) each.
            repeats: For how many lengths more the last one serves.
        """
        self._repeated, self._repeats = self._last_short - self.first, repeats
        for _ in range(self._repeated):
            layers.append(self._back(layers[-1], may_end=False))
        self._layers = [layer.flatten() for layer in reversed(layers)]

    def _back(self, message: Tensor, may_end: bool) -> Tensor:
        """The message (W, Q) for one id less."""
        after = message[self._successors[:, :, None], self._transitions.T]  # (windows without their first id, V, Q)
        before = self._combine(after).transpose(0, 1).flatten(0, 1)
        return self._join(before, self._ends) if may_end else before

    @abstractmethod
    def _combine(self, after: Tensor) -> Tensor:
        """Messages (W / V, V, Q), by the first id of the window, of those (W / V, V, Q) after each id more."""

    @abstractmethod
    def _join(self, before: Tensor, ends: Tensor) -> Tensor:
        """Messages (W, Q) of those that go on and those that end."""


class SumProductMessages(Messages):
    """Messages are the chance that a beginning goes on to a word as wanted, or a bound of it from above.

    Args:
        table: As the base says.
        condition: As the base says.

    Attributes:
        is_possible: Whether any word as wanted has a probability above 0 in double precision.
        share: How many of the words drawn by `following` are left if each is kept with the product, over its ids, of
            the sum of `following` to `worth`, and dropped if over the length; the words are exact then.
    """

    def __init__(self, table: Tensor, condition: Condition) -> None:
        super().__init__(table, condition)
        most = condition.max_length - self._last_short + 1  # lengths of words that are wanted
        nothing = torch.zeros_like(self._ends)
        upper = torch.ones_like(nothing).index_fill(1, torch.tensor([self._num_states - 1]), 0)
        lower, steps, bound = nothing, 0, 1.0
        self.share = 0.0
        while steps < most and self.share < _ENOUGH and bound > 0:
            more = min(max(_STRIDE, steps), most - steps)
            for _ in range(more):
                upper, lower = self._back(upper, may_end=True), self._back(lower, may_end=True)
            steps += more
            chance, bound = self._chance(lower), self._chance(upper)
            self.share = chance / bound if chance > 0 else 0.0
        self.is_possible = self.share > 0
        layers, repeats = [upper], condition.max_length
        num_layers = condition.max_length - self.first + 2
        if self.share < _ENOUGH and self.is_possible and num_layers * nothing.numel() <= ROOM:
            layers, repeats, self.share = [nothing], 0, 1.0
            for _ in range(most):
                layers.append(self._back(layers[-1], may_end=True))
        self._keep(layers, repeats)

    def _chance(self, message: Tensor) -> float:
        """The message of a word that has the prefix alone, from that of the shortest that may end."""
        for _ in range(self._last_short - self.first):
            message = self._back(message, may_end=False)
        windows, states = self.start(1)
        return float(message[windows, states])

    def _combine(self, after: Tensor) -> Tensor:
        return torch.bmm(self._rows, after)

    def _join(self, before: Tensor, ends: Tensor) -> Tensor:
        return before + ends


class MaxProductMessages(Messages):
    """Messages are the probability of the most likely way to go on to a word as wanted (Viterbi 1967)."""

    def __init__(self, table: Tensor, condition: Condition) -> None:
        super().__init__(table, condition)
        most = condition.max_length - self._last_short + 1
        layers = [torch.zeros_like(self._ends)]
        while len(layers) <= most:
            layers.append(self._back(layers[-1], may_end=True))
            if torch.equal(layers[-1], layers[-2]):  # more ids make nothing better
                break
        self._keep(layers, most + 1 - len(layers))

    def _combine(self, after: Tensor) -> Tensor:
        by_state = [(self._rows * after[:, None, :, q]).amax(2) for q in range(self._num_states)]
        return torch.stack(by_state, 2)

    def _join(self, before: Tensor, ends: Tensor) -> Tensor:
        return torch.maximum(before, ends)
