"""The condition on samples: texts, pattern, excluded texts, a word nearby and bounds of length together."""

from itertools import combinations

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.conditions.automata.automaton import Rule, conjunction
from mm_lightning.sampling.conditions.automata.exclusion import Exclusion
from mm_lightning.sampling.conditions.automata.pattern import RUN, Pattern
from mm_lightning.sampling.conditions.rules import describe, rules_of
from mm_lightning.sampling.options import SamplingOptions


class Condition:
    """The condition on samples, in ids.

    Args:
        vocabulary: The vocabulary of the ids.
        options: The sampling options.

    Attributes:
        prefix: Ids of the prefix; they are read, not sampled.
        automaton: Automaton of all conditions but prefix and lengths, over all ids of an item.
        start_state: State of the automaton after the prefix.
        has_rules: Whether an item can break a condition other than prefix and lengths.

    Raises:
        UserError: If a text has a character outside the vocabulary, or if no item can meet the condition.
    """

    def __init__(self, vocabulary: Vocabulary, options: SamplingOptions) -> None:
        self.vocabulary = vocabulary
        self.min_length = options.min_length
        self.max_length = options.max_length
        self.prefix = vocabulary.encode_item(options.prefix)
        rules = rules_of(vocabulary, options)
        self.automaton = conjunction(rules.values(), vocabulary)
        self.start_state = self.automaton.run(self.prefix)
        self.has_rules = bool(rules)
        shortest, longest = (length - len(self.prefix) for length in (self.min_length, self.max_length))
        if not self.automaton.can_end(self.start_state, max(shortest, 0), longest):
            rules = {"prefix": Pattern((*self.prefix, RUN)), **rules}
            names, rules = self._smallest_conflict(rules)
            settings = [describe(name, rules.get(name), vocabulary, options) for name in names]
            remedy = "change it" if len(names) == 1 else "change one of them"
            raise UserError(f"no item can have {' and '.join(settings)}{' together' * (len(names) > 1)}; {remedy}")

    def _smallest_conflict(self, rules: dict[str, Rule]) -> tuple[list[str], dict[str, Rule]]:
        """Find a smallest set of settings that contradict each other, given that all settings do.

        Returns:
            Names of the settings; and the rules, with as few excluded texts as repeated halving leaves.
        """
        all_names = [*rules, "min_length", "max_length"]
        subsets = (list(subset) for size in range(1, len(all_names)) for subset in combinations(all_names, size))
        names = next((subset for subset in subsets if self._is_conflict(subset, rules)), all_names)
        exclusion = rules.get("exclude")
        while "exclude" in names and isinstance(exclusion, Exclusion):
            rules = rules | {"exclude": exclusion}
            half = len(exclusion.texts) // 2
            halves = [Exclusion(texts) for texts in (exclusion.texts[:half], exclusion.texts[half:]) if half]
            exclusion = next((part for part in halves if self._is_conflict(names, rules | {"exclude": part})), None)
        return names, rules

    def _is_conflict(self, names: list[str], rules: dict[str, Rule]) -> bool:
        """Check whether no item can meet these settings."""
        automaton = conjunction([rules[name] for name in names if name in rules], self.vocabulary)
        min_length = self.min_length if "min_length" in names else 0
        max_length = self.max_length if "max_length" in names else None
        return not automaton.can_end(0, min_length, max_length)

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
