"""Excluded texts against Python's `in`."""

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.conditions.automata.automaton import conjunction
from mm_lightning.sampling.conditions.automata.exclusion import Exclusion

VOCABULARY = Vocabulary("abc")
ITEMS = ["".join(item) for length in range(6) for item in product("abc", repeat=length)]


@settings(deadline=None)
@given(st.lists(st.text("abc", min_size=1, max_size=4), min_size=1, max_size=8))
def test_the_automaton_accepts_items_without_the_texts(texts: list[str]):
    """Catches an occurrence that begins inside another text, or ends with the item."""
    automaton = conjunction([Exclusion([VOCABULARY.encode_item(text) for text in texts])], VOCABULARY)
    for item in ITEMS:
        is_accepted = bool(automaton.accepting[automaton.run(VOCABULARY.encode_item(item))])
        assert is_accepted == (not any(text in item for text in texts)), (item, texts)
