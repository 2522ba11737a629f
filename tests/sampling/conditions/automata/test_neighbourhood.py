"""The neighbourhood of a word against rapidfuzz."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.conditions.automata.automaton import conjunction
from mm_lightning.sampling.conditions.automata.neighbourhood import Neighbourhood
from mm_lightning.sampling.conditions.automata.tokens import NO_ID

VOCABULARY = Vocabulary("abc")
ITEMS = ["".join(item) for length in range(6) for item in product("abc", repeat=length)]


@settings(deadline=None)
@given(st.text("abcé", max_size=7), st.integers(1, 4))
def test_the_automaton_accepts_items_within_the_edits(word: str, max_edits: int):
    """Catches a kind of edit that is missing or free, and a character that the vocabulary lacks."""
    ids = [VOCABULARY.alphabet.find(c) + 1 or NO_ID for c in word]
    automaton = conjunction([Neighbourhood(ids, max_edits)], VOCABULARY)
    for item in ITEMS:
        is_accepted = bool(automaton.accepting[automaton.run(VOCABULARY.encode_item(item))])
        assert is_accepted == (Levenshtein.distance(item, word) <= max_edits), (item, word, max_edits)


def test_a_long_word_takes_little_time_per_state():
    """Catches rows as long as the word: the number of states and the work for each would both grow with its length."""
    automaton = conjunction([Neighbourhood([1, 2, 3] * 200, 1)], VOCABULARY)
    assert automaton.accepting[automaton.run([1, 2, 3] * 199 + [1, 2])]
    assert not automaton.accepting[automaton.run([1, 2, 3] * 199 + [1])]
    assert len(automaton) < 600 * 10
