"""The condition on samples: prefix, suffix, contained text, pattern and bounds of length together."""

from itertools import combinations

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.conditions.automaton import RUN, Automaton, Pattern, parse
from mm_lightning.sampling.options import SamplingOptions

_WHOLE_ITEM: dict[str, tuple[Pattern, Pattern]] = {  # option -> what may stand before and after its text in an item
    "suffix": ((RUN,), ()),
    "contains": ((RUN,), (RUN,)),
    "pattern": ((), ()),
}


class Condition:
    """The condition on samples, in ids.

    Args:
        vocabulary: The vocabulary of the ids.
        options: The sampling options.

    Attributes:
        prefix: Ids of the prefix; they are read, not sampled.
        automaton: Automaton of suffix, contained text and pattern, over all ids of an item.
        start_state: State of the automaton after the prefix.
        has_pattern: Whether suffix, contains or pattern is set.

    Raises:
        UserError: If a text has a character outside the vocabulary, or if no item can meet the condition.
    """

    def __init__(self, vocabulary: Vocabulary, options: SamplingOptions) -> None:
        self.vocabulary = vocabulary
        self.min_length = options.min_length
        self.max_length = options.max_length
        self.prefix = vocabulary.encode_item(options.prefix)
        texts = {name: getattr(options, name) for name in _WHOLE_ITEM}
        patterns = {name: _pattern_of(name, text, vocabulary) for name, text in texts.items() if text}
        self.automaton = Automaton.of(list(patterns.values()), len(vocabulary))
        self.start_state = self.automaton.run(self.prefix)
        self.has_pattern = bool(patterns)
        shortest, longest = (length - len(self.prefix) for length in (self.min_length, self.max_length))
        if not self.automaton.can_end(self.start_state, max(shortest, 0), longest):
            names = self._conflicting_settings(patterns)
            settings = " and ".join(f"sampling.{name} {getattr(options, name)!r}" for name in names)
            raise UserError(f"no item can have {settings} together; change one of them")

    def _conflicting_settings(self, patterns: dict[str, Pattern]) -> tuple[str, ...]:
        """Find a smallest set of settings that exclude each other, given that all settings do."""
        patterns = {"prefix": (*self.prefix, RUN), **patterns}
        all_names = (*patterns, "min_length", "max_length")
        for names in (names for size in range(1, len(all_names)) for names in combinations(all_names, size)):
            automaton = Automaton.of([patterns[name] for name in names if name in patterns], len(self.vocabulary))
            min_length = self.min_length if "min_length" in names else 0
            max_length = self.max_length if "max_length" in names else None
            if not automaton.can_end(0, min_length, max_length):
                return names
        return all_names

    def matches(self, items: list[str]) -> list[bool]:
        """Check for each item whether it meets the condition; the prefix is not checked."""
        ids, lengths = self.vocabulary.encode(Items.from_strings(items))  # ids: (sum of lengths,)
        starts = lengths.cumsum() - lengths
        states = np.zeros(len(items), np.int64)
        for position in range(int(lengths.max(initial=0))):
            longer = np.flatnonzero(lengths > position)
            states[longer] = self.automaton.transitions[states[longer], ids[starts[longer] + position]]
        is_met = self.automaton.accepting[states] & (lengths >= self.min_length) & (lengths <= self.max_length)
        return list(is_met.tolist())


def _pattern_of(name: str, text: str, vocabulary: Vocabulary) -> Pattern:
    """Return the pattern of the setting `name`, for the whole item."""
    try:
        pattern = parse(text, vocabulary, has_wildcards=name == "pattern")
    except UserError as error:
        raise UserError(f"sampling.{name} is {text!r}: {error}") from None
    before, after = _WHOLE_ITEM[name]
    return (*before, *pattern, *after)
