"""Oracles of the sampling tests: all items over a small alphabet, with their probabilities, and a chi-square test."""

import random
import re
from collections import Counter
from itertools import product
from typing import Any, Protocol

import numpy as np
import pytest
import torch
from rapidfuzz.distance import Levenshtein

from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks.base import Network
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.graph import Graph
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.probabilities import next_probabilities

MAX_LENGTH = 7  # 21,845 items over four characters
CONDITIONS = [
    pytest.param({"suffix": "dc"}, id="suffix"),
    pytest.param({"contains": "cc"}, id="contains"),
    pytest.param({"pattern": "a..d*"}, id="pattern"),
    pytest.param({"min_length": 6}, id="min_length"),
    pytest.param({"max_length": 1, "min_length": 0}, id="max_length"),
    pytest.param({"prefix": "ab", "suffix": "bc", "contains": "dd"}, id="prefix, suffix and contains"),
    pytest.param({"prefix": "ab", "suffix": "bc", "max_length": 3}, id="prefix and suffix overlap"),
    pytest.param(
        {"prefix": "b", "suffix": "a", "contains": "cc", "pattern": "*d*", "min_length": 5, "max_length": 6}, id="all"
    ),
    pytest.param({"exclude": ["ab", "c", "dda"]}, id="exclude"),
    pytest.param({"near": "abcd"}, id="near"),
    pytest.param({"near": "bad", "edits": 3, "exclude": ["dd", "ca"], "prefix": "b"}, id="near, exclude and prefix"),
    pytest.param(
        {"exclude": ["bb", "acd"], "near": "bcda", "contains": "c", "pattern": "*d.*", "min_length": 4}, id="five kinds"
    ),
    pytest.param({"suffix": "dc", "temperature": 0.8, "top_k": 4, "top_p": 0.97}, id="after top_k and top_p"),
]


class BatchSampler(Protocol):
    def sample_batch(self, batch: int) -> list[str]: ...


def all_new(items: list[str]) -> list[bool]:
    return [True] * len(items)


def make_options(settings: dict[str, Any]) -> SamplingOptions:
    """Options whose items can be enumerated."""
    return SamplingOptions(**{"max_length": MAX_LENGTH} | settings)


def sample_batches(sampler: BatchSampler, num_batches: int) -> list[str]:
    return [item for batch in range(num_batches) for item in sampler.sample_batch(batch)]


def is_match(item: str, options: SamplingOptions) -> bool:
    """Check the conditions by Python's own means and rapidfuzz; `exclude` is a list here."""
    expression = "".join({".": ".", "*": ".*"}.get(c, re.escape(c)) for c in options.pattern)
    return (
        item.startswith(options.prefix)
        and item.endswith(options.suffix)
        and options.contains in item
        and (not options.pattern or re.fullmatch(expression, item) is not None)
        and not any(text in item for text in options.exclude)
        and (not options.near or Levenshtein.distance(item, options.near) <= (options.edits or 2))
        and options.min_length <= len(item) <= options.max_length
    )


def graph_of(condition: Condition, context: int) -> Graph:
    """The graph of a condition for windows of `context` ids."""
    graph = Graph.of(condition, context, 1 << 20)
    assert graph is not None
    return graph


def random_pattern(generator: random.Random, max_length: int = 5) -> str:
    return "".join(generator.choice("aabb..*") for _ in range(generator.randint(1, max_length)))


@torch.no_grad()
def enumerate_items(network: Network, vocabulary: Vocabulary, options: SamplingOptions) -> dict[str, float]:
    """Unconditional probabilities of all items up to `MAX_LENGTH` that meet the conditions."""
    result = {}
    for length in range(MAX_LENGTH + 1):
        ids = torch.tensor([[BOUNDARY, *item] for item in product(range(1, len(vocabulary)), repeat=length)])  # (B, T)
        logits = network.sequence_logits(ids).flatten(0, 1)
        probabilities = next_probabilities(logits, vocabulary, options).view(*ids.shape, -1)  # (B, T, V)
        targets = torch.cat([ids[:, 1:], torch.zeros_like(ids[:, :1])], 1)
        products = probabilities.gather(2, targets[..., None]).prod(1)[:, 0].tolist()
        result |= {vocabulary.decode(item[1:]): value for item, value in zip(ids.tolist(), products, strict=True)}
    return {item: value for item, value in result.items() if value > 0 and is_match(item, options)}


def chi_square(items: list[str], probabilities: dict[str, float]) -> float:
    """Deviation of items from probabilities, in standard deviations of the chi-square distribution.

    Items with a small expected count are pooled.
    """
    total, counts = sum(probabilities.values()), Counter(items)
    expected = {item: len(items) * value / total for item, value in probabilities.items()}
    common = [item for item, count in expected.items() if count >= 8]
    pairs = [(counts[item], expected[item]) for item in common]
    rest = len(items) - sum(count for count, _ in pairs), len(items) - sum(count for _, count in pairs)
    pairs += [rest] if rest[1] >= 8 else []
    statistic = sum((observed - count) ** 2 / count for observed, count in pairs)
    degrees_of_freedom = max(len(pairs) - 1, 1)
    return float((statistic - degrees_of_freedom) / np.sqrt(2 * degrees_of_freedom))
