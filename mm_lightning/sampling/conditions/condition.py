"""The condition that samples must meet: prefix, suffix, part, pattern and lengths together."""

from itertools import combinations

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.conditions.automaton import RUN, Automaton, Row, parse
from mm_lightning.sampling.options import SamplingOptions


class Condition:
    """What words are wanted, in ids.

    Args:
        vocabulary: The ids.
        options: What is asked for.

    Attributes:
        prefix: Ids that are read, not drawn.
        automaton: What else the word must be, from its first id on.
        start: The automaton's state after the prefix.
        is_shaped: Whether more is asked for than a prefix and a length.

    Raises:
        UserError: If a character is not in the vocabulary, or no word at all can be as it is asked for.
    """

    def __init__(self, vocabulary: Vocabulary, options: SamplingOptions) -> None:
        self.vocabulary = vocabulary
        self.min_length = options.min_length
        self.max_length = options.max_length
        self.prefix = vocabulary.encode_item(options.prefix)
        texts = {name: getattr(options, name) for name in ("suffix", "contains", "pattern")}
        rows = {name: _row(name, text, vocabulary) for name, text in texts.items() if text}
        self.automaton = Automaton.of(list(rows.values()), len(vocabulary))
        self.start = self.automaton.run(self.prefix)
        self.is_shaped = bool(rows)
        shortest, longest = (length - len(self.prefix) for length in (self.min_length, self.max_length))
        if not self.automaton.can_end(self.start, max(shortest, 0), longest):
            named = " and ".join(f"sampling.{x} {getattr(options, x)!r}" for x in self._conflict(rows))
            raise UserError(f"no word can have {named} together; change one of them")

    def _conflict(self, rows: dict[str, Row]) -> tuple[str, ...]:
        """The fewest settings that exclude each other, if all do."""
        rows = {"prefix": (*self.prefix, RUN), **rows}
        names = (*rows, "min_length", "max_length")
        for some in (some for size in range(1, len(names)) for some in combinations(names, size)):
            automaton = Automaton.of([rows[name] for name in some if name in rows], len(self.vocabulary))
            shortest = self.min_length if "min_length" in some else 0
            if not automaton.can_end(0, shortest, self.max_length if "max_length" in some else None):
                return some
        return names

    def holds(self, words: list[str]) -> list[bool]:
        """Whether each word is as wanted, its prefix taken for granted."""
        ids, lengths = self.vocabulary.encode(Items.from_strings(words))
        starts = lengths.cumsum() - lengths
        states = np.zeros(len(words), np.int64)
        for place in range(int(lengths.max(initial=0))):
            longer = np.flatnonzero(lengths > place)
            states[longer] = self.automaton.transitions[states[longer], ids[starts[longer] + place]]
        is_right = self.automaton.accepting[states] & (lengths >= self.min_length) & (lengths <= self.max_length)
        return list(is_right.tolist())


def _row(name: str, text: str, vocabulary: Vocabulary) -> Row:
    """Items of the setting `name`."""
    try:
        items = parse(text, vocabulary, wildcards=name == "pattern")
    except UserError as error:
        raise UserError(f"sampling.{name} is {text!r}: {error}") from None
    return {"suffix": (RUN, *items), "contains": (RUN, *items, RUN), "pattern": items}[name]
