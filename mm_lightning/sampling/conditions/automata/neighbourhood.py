"""Items within a number of edits of a word.

The edits are those of Levenshtein (1966): insert, delete or substitute a token. A state is a row of the table of
Wagner and Fischer (1974): the distances between the read ids and each beginning of the word. Distances over the limit
are all alike, so there are few rows (Schulz and Mihov 2002).
"""

from collections.abc import Sequence

from mm_lightning.sampling.conditions.automata.automaton import Automaton, explore
from mm_lightning.sampling.conditions.automata.tokens import NO_ID

_Row = tuple[int, ...]


class Neighbourhood:
    """The rule that an item is at most some edits from a word.

    Args:
        word: Ids of the word; NO_ID for a token that no item has.
        max_edits: Maximum number of edits.
    """

    def __init__(self, word: Sequence[int], max_edits: int) -> None:
        self._word = tuple(word)
        self._max_edits = max_edits
        self.ids = {i for i in word if i != NO_ID}

    def automaton(self, symbols: Sequence[int]) -> Automaton:
        """Make the automaton of the items near the word, see `Rule`."""
        start = tuple(min(length, self._max_edits + 1) for length in range(len(self._word) + 1))
        return explore(start, self._step, lambda row: row[-1] <= self._max_edits, symbols).minimised()

    def _step(self, row: _Row, symbol: int) -> _Row | None:
        """Return the distances after one more id; None if all are over the limit."""
        distances = [row[0] + 1]
        for i, expected in enumerate(self._word):
            distances.append(min(row[i] + (symbol != expected), row[i + 1] + 1, distances[i] + 1))
        if min(distances) > self._max_edits:
            return None
        return tuple(min(distance, self._max_edits + 1) for distance in distances)
