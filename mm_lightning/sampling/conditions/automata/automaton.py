"""Deterministic automata over ids, and their product.

Each kind of condition is a class of its own, a `Rule`, that makes a small automaton. An item meets all conditions if
the product of the automata accepts it (Rabin and Scott 1959). Only reachable states of a product are built, and
equivalent states become one (Moore 1956), so products stay small.

An automaton over few symbols serves during construction: ids that no condition tells apart are one symbol.
"""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary

_MAX_STATES = 1 << 18
_MAX_TRANSITIONS = 1 << 25  # 256 MiB
_MAX_EXPLORED_STATES = 4096  # visited one by one
_TOO_MANY_STATES = (
    "the conditions are too intricate together; have fewer '.' after a '*', fewer texts in sampling.exclude, or a "
    "shorter sampling.near with a lower sampling.edits"
)

_State = TypeVar("_State", bound=Hashable)


def _distances(transitions: NDArray[np.int64], targets: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Compute the fewest symbols (Q,) that lead from each state to one of the targets (Q,); Q if none does."""
    distances = np.where(targets, 0, len(targets))
    while True:
        nearer = np.minimum(distances, distances[transitions].min(1) + 1)
        if np.array_equal(nearer, distances):
            return distances
        distances = nearer


def _number_rows(table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number the distinct rows of a table (Q, S) from 0, and return the number (Q,) of each row.

    Rows are compared as bytes: `np.unique` with `axis` compares number by number, and takes several times as long.
    """
    rows = np.ascontiguousarray(table).view(np.dtype((np.void, table.itemsize * table.shape[1])))
    return np.unique(rows, return_inverse=True)[1].ravel()


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton with states 0 to Q - 1; 0 is the start, and the last state rejects every continuation.

    Args:
        transitions: (Q, S) int64, the next state by state and symbol, or by state and id.
        accepting: (Q,) bool, whether an item may end in the state.
    """

    transitions: NDArray[np.int64]
    accepting: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of states Q."""
        return len(self.accepting)

    def __and__(self, other: "Automaton") -> "Automaton":
        """Return the smallest automaton of the items that both automata accept.

        Raises:
            UserError: If the product has too many states.
        """
        num_others, rejected = len(other), len(self) * len(other) - 1

        def step(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
            own, others = self.transitions[pairs // num_others], other.transitions[pairs % num_others]
            is_rejected = (own == len(self) - 1) | (others == num_others - 1)
            return np.where(is_rejected, rejected, own * num_others + others)

        pairs = reachable(0, rejected, step, _MAX_STATES)
        if pairs is None:
            raise UserError(_TOO_MANY_STATES)
        accepting = self.accepting[pairs // num_others] & other.accepting[pairs % num_others]
        return Automaton(np.searchsorted(pairs, step(pairs)), accepting).minimised()

    def minimised(self) -> "Automaton":
        """Return the automaton with the fewest states that accepts the same items."""
        # Equivalent states are equally far from accepting and from other states: a start that saves most of the steps.
        distances = [_distances(self.transitions, targets) for targets in (self.accepting, ~self.accepting)]
        classes, num_classes = _number_rows(np.column_stack(distances)), 0
        while classes.max() + 1 > num_classes:  # the last step has split a class
            num_classes = int(classes.max()) + 1
            classes = _number_rows(np.column_stack([classes, classes[self.transitions]]))
        start, rejected = classes[0], classes[-1]
        if start == rejected:  # no item is accepted, and what is left cannot be reached
            return Automaton(np.zeros((1, self.transitions.shape[1]), np.int64), np.array([False]))
        order = np.argsort(np.arange(num_classes) == rejected, kind="stable")  # the last state is the last class
        order = np.concatenate([[start], order[order != start]])
        representatives = np.unique(classes, return_index=True)[1][order]
        new_numbers = np.argsort(order)
        return Automaton(new_numbers[classes[self.transitions[representatives]]], self.accepting[representatives])

    def run(self, ids: Sequence[int], state: int = 0) -> int:
        """Return the state after ids."""
        for i in ids:
            state = int(self.transitions[state, i])
        return state

    def can_end(self, state: int, min_length: int, max_length: int | None) -> bool:
        """Check whether `min_length` to `max_length` ids lead from the state to an accepting one; None: no maximum."""
        enough = min_length + len(self)  # a shortest path visits no state twice
        states = np.array([state])
        for length in range((enough if max_length is None else min(max_length, enough)) + 1):
            if length >= min_length and self.accepting[states].any():
                return True
            states = np.unique(self.transitions[states])
        return False


class Rule(Protocol):
    """A rule that an item meets or breaks."""

    @property
    def ids(self) -> Iterable[int]:
        """Ids that the rule tells apart; all others have the same transitions."""

    def automaton(self, symbols: Sequence[int]) -> Automaton:
        """Make the automaton of the items that meet the rule.

        Args:
            symbols: Ids of the columns of `transitions`, with `ids` among them; BOUNDARY stands for all other ids.

        Raises:
            UserError: If the automaton has too many states.
        """


def conjunction(rules: Iterable[Rule], vocabulary: Vocabulary) -> Automaton:
    """Make the automaton of the items that meet every rule, over all ids of the vocabulary.

    The boundary and ids that are never sampled lead to the last state.

    Raises:
        UserError: If the automaton has too many states.
    """
    rules = list(rules)
    symbols = [BOUNDARY, *sorted({i for rule in rules for i in rule.ids})]
    everything = Automaton(np.array([[0] * len(symbols), [1] * len(symbols)]), np.array([True, False]))
    product = reduce(Automaton.__and__, (rule.automaton(symbols) for rule in rules), everything)
    require_room(len(product), len(vocabulary))
    transitions = np.repeat(product.transitions[:, :1], len(vocabulary), axis=1)
    transitions[:, symbols] = product.transitions
    transitions[:, [BOUNDARY, *vocabulary.unsampled_ids]] = len(product) - 1
    return Automaton(transitions, product.accepting).minimised()


def require_room(num_states: int, num_symbols: int) -> None:
    """Check the number of transitions.

    Raises:
        UserError: If there are too many.
    """
    if num_states * num_symbols > _MAX_TRANSITIONS:
        raise UserError(_TOO_MANY_STATES)


def explore(
    start: _State,
    step: Callable[[_State, int], _State | None],
    is_accepting: Callable[[_State], bool],
    symbols: Sequence[int],
) -> Automaton:
    """Make an automaton from a function that steps from state to state.

    Args:
        start: The first state.
        step: Returns the state after one more symbol; None: no continuation is accepted.
        is_accepting: Returns whether an item may end in a state.
        symbols: The symbols of the columns.

    Raises:
        UserError: If there are too many states.
    """
    states, number_of = [start], {start: 0}
    transitions: list[list[int]] = []
    for state in states:  # grows in the loop
        reached = [step(state, symbol) for symbol in symbols]
        for new in reached:
            if new is not None and new not in number_of:
                number_of[new] = len(states)
                states.append(new)
        transitions.append([-1 if new is None else number_of[new] for new in reached])
        if len(states) > _MAX_EXPLORED_STATES:
            raise UserError(_TOO_MANY_STATES)
    rejected = len(states)
    by_symbol = np.array([*transitions, [rejected] * len(symbols)])
    return Automaton(np.where(by_symbol < 0, rejected, by_symbol), np.array([*map(is_accepting, states), False]))


def _distinct(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the distinct codes in rising order; for millions of codes, `np.unique` takes ten times as long."""
    codes = np.sort(codes)
    return codes[np.diff(codes, prepend=codes[0] - 1) > 0]


def reachable(
    start: int, rejected: int, step: Callable[[NDArray[np.int64]], NDArray[np.int64]], max_count: int
) -> NDArray[np.int64] | None:
    """Find the codes that are reachable from a code.

    Args:
        start: The first code.
        rejected: The code that leads to itself only; no code is greater.
        step: Maps codes (N,) to the next codes (N, S).
        max_count: Maximum number of codes.

    Returns:
        The codes in rising order, with `rejected`; None if there are too many.
    """
    known, frontier = _distinct(np.array([start, rejected])), np.array([start])
    while len(frontier) and len(known) <= max_count:
        reached = _distinct(step(frontier).ravel())
        positions = np.searchsorted(known, reached)  # `rejected` is known, so no position is beyond the end
        is_new = known[positions] != reached
        frontier = reached[is_new]
        known = np.insert(known, positions[is_new], frontier)
    return known if len(known) <= max_count else None
