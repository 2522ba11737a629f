"""The automaton against Python's regular expressions."""

import random
from itertools import product

import pytest
from enumeration import is_match, random_pattern

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling import SamplingOptions
from mm_lightning.sampling.conditions.automaton import RUN, Automaton
from mm_lightning.sampling.conditions.condition import Condition


def test_the_automaton_accepts_the_items_that_the_expressions_match():
    """Catches a misread wildcard or overlap, dropped states that matter, and a union in place of the product."""
    vocabulary, generator = Vocabulary("abc"), random.Random(0)
    items = ["".join(item) for length in range(7) for item in product("abc", repeat=length)]
    num_matches = 0
    for _ in range(150):
        texts = {name: "".join(generator.choices("ab", k=generator.randint(0, 2))) for name in ("suffix", "contains")}
        options = SamplingOptions(**texts, pattern=generator.choice(["", random_pattern(generator)]), min_length=0)
        try:
            condition = Condition(vocabulary, options)
        except UserError:
            assert not any(is_match(item, options) for item in items), options
            continue
        expected = [is_match(item, options) for item in items]
        assert condition.matches(items) == expected, options
        num_matches += sum(expected)
    assert num_matches > 10_000


def test_the_number_of_states_has_a_limit():
    """Catches gigabytes of subsets for a run before many wildcards."""
    with pytest.raises(UserError, match="too intricate"):
        Condition(Vocabulary("ab"), SamplingOptions(pattern="*a" + "." * 30))
    assert len(Automaton.of([(RUN, *[1] * 30, RUN)], 3)) == 32  # a long contained text is within the limit
