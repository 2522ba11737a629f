"""Automata and their product against Python's regular expressions and sets of strings."""

import random
from itertools import product

import numpy as np
import pytest
from enumeration import is_match, random_pattern

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary
from mm_lightning.sampling.conditions.automata.automaton import Automaton, conjunction
from mm_lightning.sampling.conditions.automata.exclusion import Exclusion
from mm_lightning.sampling.conditions.automata.neighbourhood import Neighbourhood
from mm_lightning.sampling.conditions.automata.pattern import ANY, RUN, Pattern
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.options import SamplingOptions


def random_options(generator: random.Random) -> SamplingOptions:
    def text(max_length: int) -> str:
        return "".join(generator.choices("ab", k=generator.randint(0, max_length)))

    return SamplingOptions(
        suffix=text(2),
        contains=text(2),
        pattern=generator.choice(["", random_pattern(generator)]),
        exclude=["a" + text(3), "b" + text(3), "c" + text(1)][: generator.choice([0, 0, 1, 2, 3])],
        near=generator.choice(["", text(5)]),
        min_length=0,
    )


def test_the_automaton_accepts_the_items_that_meet_every_condition():
    """Catches a misread wildcard or overlap, dropped states that matter, and a union in place of the product."""
    vocabulary, generator = Vocabulary("abc"), random.Random(0)
    items = ["".join(item) for length in range(7) for item in product("abc", repeat=length)]
    num_matches = 0
    for _ in range(400):
        options = random_options(generator)
        try:
            condition = Condition(vocabulary, options)
        except UserError:
            assert not any(is_match(item, options) for item in items), options
            continue
        expected = [is_match(item, options) for item in items]
        assert condition.matches(items) == expected, options
        num_matches += sum(expected)
    assert num_matches > 10_000


def test_a_product_has_no_state_too_many():
    """Catches products that grow with the number of conditions, and texts within other texts."""
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    endless = conjunction([Pattern([RUN])] * 5, vocabulary)
    assert len(endless) == 2
    texts = [[1, 2], [5, 1, 2, 6], [1, 2, 1, 2]]
    assert len(conjunction([Exclusion(texts)], vocabulary)) == len(conjunction([Exclusion(texts[:1])], vocabulary)) == 3
    nothing = conjunction([Pattern([1]), Pattern([2])], vocabulary)
    assert len(nothing) == 1
    assert not nothing.can_end(0, 0, None)
    rules = [Pattern([RUN, 1, ANY, RUN]), Neighbourhood([1, 2, 3], 1), Exclusion([[2, 2]])]
    assert len(conjunction(rules, vocabulary)) == len(conjunction([*rules[::-1], *rules], vocabulary))


def test_minimising_keeps_the_first_and_the_last_state():
    """Catches a start or a rejecting state that moves, on which every user of an automaton relies."""
    transitions = np.array([[2, 1], [3, 4], [1, 4], [1, 4], [4, 4]])
    smallest = Automaton(transitions, np.array([False, True, True, True, False])).minimised()
    assert len(smallest) == 3
    assert [smallest.run(word) for word in ([], [1], [0], [0, 0, 0])] == [0, *[smallest.run([0])] * 3]
    assert smallest.run([0, 1]) == 2
    assert smallest.accepting.tolist() == [False, True, False]


def test_ids_that_are_never_sampled_lead_nowhere():
    """Catches a condition that only <unk>, which is never sampled, can meet."""
    vocabulary = WordVocabulary(["<unk>", "the", "dog"])
    automaton = conjunction([Exclusion([[2], [3]])], vocabulary)
    assert automaton.can_end(0, 0, 5)
    assert not automaton.can_end(0, 1, 5)


def test_the_number_of_states_has_a_limit():
    """Catches gigabytes of states for a run before many wildcards, or for many edits of a long word."""
    with pytest.raises(UserError, match="too intricate"):
        Condition(Vocabulary("ab"), SamplingOptions(pattern="*a" + "." * 30))
    with pytest.raises(UserError, match=r"too intricate.* lower sampling\.edits"):
        Condition(Vocabulary("ab"), SamplingOptions(near="abbaba" * 100, edits=9))
    assert len(conjunction([Pattern([RUN, *[1] * 30, RUN])], Vocabulary("ab"))) == 32  # a long text is within the limit
