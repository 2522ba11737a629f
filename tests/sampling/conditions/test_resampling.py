"""Resampling against enumeration."""

from typing import Any

import pytest
import torch
from enumeration import chi_square, enumerate_items, graph_of, is_match, make_options, sample_batches

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import GRU, MLP
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import SumProductMessages
from mm_lightning.sampling.conditions.resampling import Resampler
from mm_lightning.sampling.strategy import ConditionalSampler


@pytest.mark.parametrize(
    "settings",
    [
        {"suffix": "dc"},
        {"pattern": "a..d*", "temperature": 1.3, "top_p": 0.99},
        {"prefix": "b", "suffix": "a", "contains": "c", "pattern": "*d*", "min_length": 5, "max_length": 6},
        {"near": "dcba", "edits": 1, "exclude": ["bb", "dd"]},
    ],
)
@torch.no_grad()
def test_a_long_context_is_sampled_closely(tiny_gru: GRU, vocabulary: Vocabulary, settings: dict[str, Any]):
    """Catches a weight that is not applied, mixed rows of items and states, and an item that misses the condition."""
    options = make_options(settings)
    sampler = ConditionalSampler(tiny_gru, vocabulary, options)
    messages = SumProductMessages(*sampler.message_model, sampler.condition)
    items = sample_batches(Resampler(tiny_gru, messages, sampler.condition, options), 100)
    assert len(items) == 1600
    assert all(is_match(item, options) for item in items)
    assert abs(chi_square(items, enumerate_items(tiny_gru, vocabulary, options))) < 4


@torch.no_grad()
def test_weights_correct_wrong_messages(network: MLP, vocabulary: Vocabulary):
    """Catches items that follow the table model, uniform here, and not the network, which is far from uniform."""
    options = make_options({"suffix": "dc", "max_length": 5})
    condition = Condition(vocabulary, options)
    uniform = torch.full((1, len(vocabulary)), 1 / len(vocabulary), dtype=torch.float64)
    messages = SumProductMessages(uniform, graph_of(condition, 0), condition)
    items = sample_batches(Resampler(network, messages, condition, options), 200)
    probabilities = enumerate_items(network, vocabulary, options)
    assert chi_square(items, dict.fromkeys(probabilities, 1.0)) > 50
    assert abs(chi_square(items, probabilities)) < 4
