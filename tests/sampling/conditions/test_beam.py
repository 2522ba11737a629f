"""Beam search against enumeration."""

from typing import Any

import pytest
from enumeration import CONDITIONS, enumerate_items, make_options

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import GRU, MLP
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.selection import Selection
from mm_lightning.sampling.strategy import ConditionalSampler


@pytest.mark.parametrize("settings", CONDITIONS[:-1])
def test_the_beam_finds_the_most_likely_items(network: MLP, vocabulary: Vocabulary, settings: dict[str, Any]):
    """Catches an order other than by probability, a missed item, and an item that misses the condition."""
    probabilities = enumerate_items(network, vocabulary, make_options(settings))
    expected = sorted(probabilities, key=lambda item: -probabilities[item])
    for beam in (20, 100):
        found = ConditionalSampler(network, vocabulary, make_options(settings | {"beam": beam})).sample_batch(0)
        assert found == expected[:beam]


def test_a_wide_beam_finds_the_most_likely_items_of_a_long_context(tiny_gru: GRU, vocabulary: Vocabulary):
    """Catches network states that stay with the wrong prefixes."""
    probabilities = enumerate_items(tiny_gru, vocabulary, make_options({"suffix": "dc"}))
    options = make_options({"suffix": "dc", "beam": 500})
    found = ConditionalSampler(tiny_gru, vocabulary, options).sample_batch(0)
    assert found[:50] == sorted(probabilities, key=lambda item: -probabilities[item])[:50]


def test_a_beam_search_is_one_batch(network: MLP, vocabulary: Vocabulary):
    """Catches the same items written again until there are enough."""
    options = SamplingOptions(num_samples=2, beam=4, max_length=1, only_new=True)
    selection = Selection(options, lambda items: [item > "a" for item in items])
    assert list(selection.batches()) == [0]
    items = ConditionalSampler(network, vocabulary, options).sample_batch(0)
    assert sorted(items) == ["a", "b", "c", "d"]
    assert selection.accept(items) == [item for item in items if item > "a"][:2]
