"""Exact sampling against enumeration."""

from typing import Any

import pytest
import torch
from enumeration import CONDITIONS, MAX_LENGTH, chi_square, enumerate_items, is_match, make_options, sample_batches

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import MLP, Bigram, NGram
from mm_lightning.sampling import strategy
from mm_lightning.sampling.conditions import messages
from mm_lightning.sampling.conditions.exact import ExactSampler
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.strategy import ConditionalSampler


@pytest.mark.parametrize("settings", CONDITIONS)
def test_a_short_context_is_sampled_exactly(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
):
    """Catches items that meet the condition without following the model, as masks alone would give."""
    monkeypatch.setattr(strategy, "_MIN_ACCEPTANCE_RATE", 0.98)  # rejection would be exact too
    options = make_options(settings)
    sampler = ConditionalSampler(network, vocabulary, options)
    items = sample_batches(sampler, 40)
    assert isinstance(sampler.strategy, ExactSampler)
    assert len(items) >= 0.98 * 40 * SAMPLE_BATCH_SIZE
    assert all(is_match(item, options) for item in items)
    assert abs(chi_square(items, enumerate_items(network, vocabulary, options))) < 4


@torch.no_grad()
def test_one_message_for_all_lengths_is_exact_too(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
):
    """Catches the upper bound used as the probability: a few in a hundred long items too many."""
    options = SamplingOptions(contains="dc", min_length=2)
    probabilities = enumerate_items(network, vocabulary, options)
    monkeypatch.setattr(messages, "_MIN_ACCEPTANCE_RATE", 1 - 1e-9)
    converged = ConditionalSampler(network, vocabulary, options).strategy
    assert isinstance(converged, ExactSampler)
    total = float(converged.messages.message(0, converged.messages.graph.starts(1)))
    probabilities["longer"] = total - sum(probabilities.values())
    monkeypatch.setattr(messages, "_MIN_ACCEPTANCE_RATE", 0.1)
    monkeypatch.setattr(messages, "_MIN_STEPS", 1)
    sampler = ConditionalSampler(network, vocabulary, options)
    items = sample_batches(sampler, 30)
    assert isinstance(sampler.strategy, ExactSampler)
    assert sampler.strategy.messages.acceptance_rate < 0.7
    assert len(items) < 0.7 * 30 * SAMPLE_BATCH_SIZE
    assert abs(chi_square([item if len(item) <= MAX_LENGTH else "longer" for item in items], probabilities)) < 4


@pytest.mark.parametrize("settings", [{"suffix": "dc"}, {"pattern": "a.*c", "min_length": 4}])
def test_bigrams_and_counts_are_sampled_exactly(vocabulary: Vocabulary, settings: dict[str, Any]):
    """Catches a table that other networks with a short context do not have."""
    torch.manual_seed(0)
    bigram = Bigram(len(vocabulary)).double().eval()
    counts = NGram(len(vocabulary), block_size=2, smoothing=0.5).eval()
    counts.count(torch.randint(0, 5, (300, 2)), torch.randint(0, 5, (300,)))
    for network in (bigram, counts):
        sampler = ConditionalSampler(network, vocabulary, make_options(settings))
        items = sample_batches(sampler, 20)
        assert isinstance(sampler.strategy, ExactSampler)
        assert abs(chi_square(items, enumerate_items(network, vocabulary, make_options(settings)))) < 4
