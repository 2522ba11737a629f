"""Items within a number of edits of a word.

The edits are those of Levenshtein (1966): insert, delete or substitute a token. A state is a row of the table of
Wagner and Fischer (1974): the distances between the read ids and each beginning of the word. Distances over the limit
are left out, so rows are short, and there are few of them (Schulz and Mihov 2002).
"""

from collections.abc import Sequence

from mm_lightning.sampling.conditions.automata.automaton import Automaton, explore
from mm_lightning.sampling.conditions.automata.tokens import NO_ID

_Row = tuple[tuple[int, int], ...]  # pairs of a beginning's length and the distance to it, by rising length


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
        return explore(self._row({0: 0}), self._step, lambda row: row[-1][0] == len(self._word), symbols).minimised()

    def _step(self, row: _Row, symbol: int) -> _Row | None:
        """Return the row after one more id; None if all distances are over the limit."""
        distances: dict[int, int] = {}
        for length, distance in row:
            distances[length] = min(distances.get(length, distance + 1), distance + 1)  # the id is inserted
            if length < len(self._word):
                distances[length + 1] = distance + (symbol != self._word[length])
        return self._row(distances) or None

    def _row(self, distances: dict[int, int]) -> _Row:
        """Complete a row: a longer beginning is at most one deletion farther away than a shorter one."""
        row, distance = [], self._max_edits + 1
        for length in range(min(distances), len(self._word) + 1):
            distance = min(distance + 1, distances.get(length, distance + 1))
            if distance <= self._max_edits:
                row.append((length, distance))
            elif length > max(distances):
                break
        return tuple(row)
