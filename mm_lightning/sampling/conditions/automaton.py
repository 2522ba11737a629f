"""A deterministic automaton over ids that accepts the items that match several patterns.

Prefix, suffix, contained text and pattern all become patterns: sequences of ids, ANY and RUN. Each pattern is a small
nondeterministic automaton, whose states are positions in the pattern. Their product becomes deterministic by the subset
construction (Rabin and Scott 1959). Positions before a reached RUN are dropped, because everything that they accept is
also accepted from the RUN. This keeps the number of subsets small.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary, WordVocabulary

ANY, RUN = -1, -2  # elements of a pattern that are not ids: any one id; any number of ids, also none
_WILDCARDS = {".": ANY, "*": RUN}
_MAX_STATES = 4096

Pattern = tuple[int, ...]
_Subset = tuple[int, ...]  # for each pattern, the reached positions as a bit mask


def parse(text: str, vocabulary: Vocabulary, has_wildcards: bool) -> Pattern:
    """Parse a text into a pattern.

    Args:
        text: Tokens of the vocabulary; separated by spaces in a model of sentences.
        vocabulary: The vocabulary of the ids.
        has_wildcards: Whether ".", "*" and backslash have their special meaning.

    Raises:
        UserError: If a token has no id, or one that is never sampled, or if a backslash ends the text.
    """
    if isinstance(vocabulary, WordVocabulary):
        tokens = text.split()
    else:
        tokens = re.findall(r"\\.|." if has_wildcards else ".", text, re.DOTALL)
    return tuple(_parse_token(token, vocabulary, has_wildcards) for token in tokens)


def _parse_token(token: str, vocabulary: Vocabulary, has_wildcards: bool) -> int:
    if has_wildcards and token in _WILDCARDS:
        return _WILDCARDS[token]
    if has_wildcards and token == "\\":
        raise UserError("a backslash at the end takes nothing; write two for a backslash itself")
    literal = re.sub(r"\\(.)", r"\1", token) if has_wildcards else token
    (element,) = vocabulary.encode_item(literal)
    if element in vocabulary.unsampled_ids:
        raise UserError(f"{literal!r} is not among the model's words")
    return element


def _epsilon_closure(positions: int, pattern: Pattern) -> int:
    """Add the position after each reached RUN, and drop the positions before it."""
    for i, element in enumerate(pattern):
        if element == RUN and positions >> i & 1:
            positions = (positions >> i | 2) << i
    return positions


def _step(positions: int, pattern: Pattern, symbol: int) -> int:
    """Return the positions reached by one more id."""
    reached = 0
    for i, element in enumerate(pattern):
        if positions >> i & 1 and element in (RUN, ANY, symbol):
            reached |= 1 << (i if element == RUN else i + 1)
    return _epsilon_closure(reached, pattern)


def _subset_construction(patterns: Sequence[Pattern], symbols: list[int]) -> tuple[list[_Subset], list[list[int]]]:
    """Find the subsets that are reachable by symbols.

    Returns:
        The subsets, the start first; and for each subset the index of the next subset by symbol, -1 for none.

    Raises:
        UserError: If there are too many subsets.
    """
    start = tuple(_epsilon_closure(1, pattern) for pattern in patterns)
    subsets, index_of = [start], {start: 0}
    transitions: list[list[int]] = []
    for subset in subsets:  # grows in the loop
        transitions.append([])
        for symbol in symbols:
            reached = tuple(_step(*pair, symbol) for pair in zip(subset, patterns, strict=True))
            if all(reached) and reached not in index_of:
                index_of[reached] = len(subsets)
                subsets.append(reached)
            transitions[-1].append(index_of[reached] if all(reached) else -1)
        if len(subsets) > _MAX_STATES:
            raise UserError("the conditions are too intricate together; have fewer '.' after a '*'")
    return subsets, transitions


@dataclass(frozen=True)
class Automaton:
    """A deterministic automaton with states 0 to Q - 1; 0 is the start, and the last state rejects every continuation.

    Args:
        transitions: (Q, V) int64, the next state by state and id; the boundary leads to the last state.
        accepting: (Q,) bool, whether an item may end in the state.
    """

    transitions: NDArray[np.int64]
    accepting: NDArray[np.bool_]

    @classmethod
    def of(cls, patterns: Sequence[Pattern], vocab_size: int) -> "Automaton":
        """Build the automaton of the items that match every pattern.

        Raises:
            UserError: If the automaton has too many states.
        """
        ids = sorted({element for pattern in patterns for element in pattern if element > BOUNDARY})
        # The boundary stands for the ids that occur in no pattern: all of them have the same transitions.
        subsets, next_subsets = _subset_construction(patterns, [BOUNDARY, *ids])
        dead = len(subsets)
        by_symbol = np.where(np.array(next_subsets) < 0, dead, next_subsets)
        transitions = np.full((dead + 1, vocab_size), dead, np.int64)
        transitions[:-1] = by_symbol[:, :1]
        transitions[:-1, ids] = by_symbol[:, 1:]
        transitions[:, BOUNDARY] = dead
        accepting = [
            all(positions >> len(pattern) & 1 for positions, pattern in zip(subset, patterns, strict=True))
            for subset in subsets
        ]
        return cls(transitions, np.array([*accepting, False]))

    def __len__(self) -> int:
        """Number of states Q."""
        return len(self.accepting)

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
