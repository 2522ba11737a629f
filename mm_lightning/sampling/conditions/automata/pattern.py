"""Patterns of whole items.

Suffix, contained text and pattern all become patterns: sequences of ids, ANY and RUN. A pattern is a small
nondeterministic automaton, whose states are positions in the pattern. The subset construction makes it deterministic
(Rabin and Scott 1959). Positions before a reached RUN are dropped, because everything that they accept is also accepted
from the RUN. This keeps the number of subsets small.
"""

import re
from collections.abc import Sequence

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary, WordVocabulary
from mm_lightning.sampling.conditions.automata.automaton import Automaton, explore

ANY, RUN = -1, -2  # elements of a pattern that are not ids: any one id; any number of ids, also none
_WILDCARDS = {".": ANY, "*": RUN}


class Pattern:
    """The rule that an item matches a pattern.

    Args:
        elements: Ids, ANY and RUN.
    """

    def __init__(self, elements: Sequence[int]) -> None:
        self._elements = tuple(elements)
        self.ids = {element for element in elements if element > BOUNDARY}

    def automaton(self, symbols: Sequence[int]) -> Automaton:
        """Make the automaton of the items that match, see `Rule`; a state is the set of positions, as a bit mask."""
        return explore(self._closure(1), self._step, lambda positions: bool(positions >> len(self._elements)), symbols)

    def _step(self, positions: int, symbol: int) -> int | None:
        """Return the positions reached by one more id."""
        reached = 0
        for i, element in enumerate(self._elements):
            if positions >> i & 1 and element in (RUN, ANY, symbol):
                reached |= 1 << (i if element == RUN else i + 1)
        return self._closure(reached) or None

    def _closure(self, positions: int) -> int:
        """Add the position after each reached RUN, and drop the positions before it."""
        for i, element in enumerate(self._elements):
            if element == RUN and positions >> i & 1:
                positions = (positions >> i | 2) << i
        return positions


def parse(text: str, vocabulary: Vocabulary, has_wildcards: bool) -> list[int]:
    """Parse a text into elements of a pattern.

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
    return [_parse_token(token, vocabulary, has_wildcards) for token in tokens]


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
