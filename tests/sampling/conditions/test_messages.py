"""Backward messages against enumeration."""

from typing import Any

import pytest
import torch
from enumeration import CONDITIONS, enumerate_items, graph_of, make_options

from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks import MLP
from mm_lightning.sampling.conditions import messages
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.messages import MaxProductMessages, SumProductMessages
from mm_lightning.sampling.probabilities import next_probabilities


@pytest.mark.parametrize("settings", CONDITIONS)
@torch.no_grad()
def test_messages_are_the_enumerated_probabilities(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
):
    """Catches a window with a wrong index, a length off by one, and a boundary too many or too few."""
    monkeypatch.setattr(messages, "_MIN_ACCEPTANCE_RATE", 1.0)  # a message for every length
    options = make_options(settings)
    probabilities = enumerate_items(network, vocabulary, options)
    table = network.window_table(lambda logits: next_probabilities(logits, vocabulary, options), len(vocabulary))
    assert table is not None
    rows = table.rows()
    condition = Condition(vocabulary, options)
    prefix_probability = 1.0  # messages are conditional on the prefix
    ids = [BOUNDARY] * 3
    for i in condition.prefix:
        prefix_probability *= float(rows[ids[-3] * 25 + ids[-2] * 5 + ids[-1], i])
        ids.append(i)
    graph = graph_of(condition, 3)
    sums = SumProductMessages(rows, graph, condition)
    assert sums.acceptance_rate == 1
    total = float(sums.message(sums.first_length, graph.starts(1)))
    assert total * prefix_probability == pytest.approx(sum(probabilities.values()), rel=1e-12)
    best = MaxProductMessages(rows, graph, condition)
    highest = float(best.message(best.first_length, graph.starts(1)))
    assert highest * prefix_probability == pytest.approx(max(probabilities.values()), rel=1e-12)
