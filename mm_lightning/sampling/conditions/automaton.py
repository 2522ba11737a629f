"""What words must look like, as one deterministic automaton over ids.

Prefix, suffix, part and pattern are all rows of items: an id, any one id, or any run of ids. Each row is a small
nondeterministic automaton whose states are places in the row; their product is made deterministic by the construction
of subsets (Rabin and Scott 1959). Once a run is reached, nothing that stands before it can matter any more, which keeps
the subsets few.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary, WordVocabulary

ANY, RUN = -1, -2  # items that are no ids: any one id, any run of ids
_WILDCARDS = {".": ANY, "*": RUN}
_MAX_STATES = 4096

Row = tuple[int, ...]
_Places = tuple[int, ...]  # of each row the places that have been reached, as bits


def parse(text: str, vocabulary: Vocabulary, wildcards: bool) -> Row:
    """Items of a text.

    Raises:
        UserError: If a token has no id that can be drawn, or a backslash takes nothing.
    """
    if isinstance(vocabulary, WordVocabulary):
        units = text.split()
    else:
        units = re.findall(r"\\.|." if wildcards else ".", text, re.DOTALL)
    return tuple(_item(unit, vocabulary, wildcards) for unit in units)


def _item(unit: str, vocabulary: Vocabulary, wildcards: bool) -> int:
    if wildcards and unit in _WILDCARDS:
        return _WILDCARDS[unit]
    if wildcards and unit == "\\":
        raise UserError("a backslash at the end takes nothing; write two for a backslash itself")
    token = re.sub(r"\\(.)", r"\1", unit) if wildcards else unit
    (item,) = vocabulary.encode_item(token)
    if item in vocabulary.unsampled_ids:
        raise UserError(f"{token!r} is not among the model's words")
    return item


def _reached(places: int, row: Row) -> int:
    """The places that these lead to without an id; those before a run that was reached are left out."""
    for i, item in enumerate(row):
        if item == RUN and places >> i & 1:
            places = (places >> i | 2) << i
    return places


def _step(places: int, row: Row, symbol: int) -> int:
    """The places reached by one id more."""
    after = 0
    for i, item in enumerate(row):
        if places >> i & 1 and item in (RUN, ANY, symbol):
            after |= 1 << (i if item == RUN else i + 1)
    return _reached(after, row)


@dataclass(frozen=True)
class Automaton:
    """States 0 to Q - 1; words start in 0, and the last is the one from which nothing is accepted.

    Args:
        transitions: (Q, V) int64, the state after each id; ids of boundaries lead nowhere.
        accepting: (Q,) whether a word may end in the state.
    """

    transitions: NDArray[np.int64]
    accepting: NDArray[np.bool_]

    @classmethod
    def of(cls, rows: Sequence[Row], vocab_size: int) -> "Automaton":
        """The automaton of all words that match every row.

        Raises:
            UserError: If it would have too many states.
        """
        symbols = sorted({item for row in rows for item in row if item > BOUNDARY})  # all other ids are alike
        numbers: dict[_Places, int] = {tuple(_reached(1, row) for row in rows): 0}
        found = list(numbers)
        arrows: list[list[int]] = []  # of each state in turn: where a boundary's like leads, and each symbol
        for places in found:  # grows on the way
            arrows.append([])
            for symbol in [BOUNDARY, *symbols]:
                after = tuple(_step(some, row, symbol) for some, row in zip(places, rows, strict=True))
                if all(after) and after not in numbers:
                    numbers[after] = len(found)
                    found.append(after)
                arrows[-1].append(numbers[after] if all(after) else -1)
            if len(found) > _MAX_STATES:
                raise UserError("the conditions are too intricate together; have fewer '.' after a '*'")
        transitions = np.full((len(found) + 1, vocab_size), len(found), np.int64)
        table = np.where(np.array(arrows) < 0, len(found), arrows)
        transitions[:-1] = table[:, :1]
        transitions[:-1, symbols] = table[:, 1:]
        transitions[:, BOUNDARY] = len(found)
        ends = [all(some >> len(row) & 1 for some, row in zip(places, rows, strict=True)) for places in found]
        return cls(transitions, np.array([*ends, False]))

    def __len__(self) -> int:
        return len(self.accepting)

    def run(self, ids: Sequence[int], state: int = 0) -> int:
        """The state after ids."""
        for i in ids:
            state = int(self.transitions[state, i])
        return state

    def can_end(self, state: int, shortest: int, longest: int | None) -> bool:
        """Whether a number of ids within bounds leads from the state to an accepting one."""
        last = shortest + len(self)  # whoever gets through at all needs to visit no state twice
        states = np.array([state])
        for length in range((last if longest is None else min(longest, last)) + 1):
            if length >= shortest and self.accepting[states].any():
                return True
            states = np.unique(self.transitions[states])
        return False
