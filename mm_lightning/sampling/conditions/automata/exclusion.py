"""Texts that must not occur in an item.

An Aho-Corasick automaton (1975) finds the occurrences of many texts in one pass. Its complement accepts the items
without any of them: a state in which a text has just occurred becomes the last state.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from mm_lightning.sampling.conditions.automata.automaton import Automaton, require_room


class Exclusion:
    """The rule that none of the texts occurs in an item.

    Args:
        texts: Ids of each text, at least one.

    Attributes:
        texts: The same.
    """

    def __init__(self, texts: Iterable[Sequence[int]]) -> None:
        self.texts = [tuple(text) for text in texts]
        self.ids = {i for text in self.texts for i in text}

    def automaton(self, symbols: Sequence[int]) -> Automaton:
        """Make the automaton of the items without the texts, see `Rule`.

        A state is the longest end of the read ids that begins a text.
        """
        children, has_occurred = self._trie({symbol: column for column, symbol in enumerate(symbols)})
        rejected = len(children)
        require_room(rejected, len(symbols))
        transitions = np.zeros((rejected + 1, len(symbols)), np.int64)
        fallback = [0] * rejected  # state of the longest end that is shorter
        states = [0]
        for state in states:  # grows in the loop, by rising length
            transitions[state] = transitions[fallback[state]]  # all zero for the start
            for column, child in children[state].items():
                fallback[child] = int(transitions[state, column])
                has_occurred[child] |= has_occurred[fallback[child]]
                transitions[state, column] = child
                states.append(child)
        transitions[np.append(has_occurred, True)[transitions]] = rejected
        transitions[rejected] = rejected
        return Automaton(transitions, ~np.append(has_occurred, True)).minimised()

    def _trie(self, column_of: dict[int, int]) -> tuple[list[dict[int, int]], NDArray[np.bool_]]:
        """Return the children of each state by column, and whether a text ends there."""
        children: list[dict[int, int]] = [{}]
        ends = []
        for text in self.texts:
            state = 0
            for i in text:
                if column_of[i] not in children[state]:
                    children[state][column_of[i]] = len(children)
                    children.append({})
                state = children[state][column_of[i]]
            ends.append(state)
        return children, np.isin(np.arange(len(children)), ends)
