"""Held-out losses: folds, counts, and the weight of a mixture."""

import random

import pytest
import torch

from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.make import judging, recipe
from mm_lightning.make.judging import count, folds, held_out, mixed

WORDS = sorted({"".join(random.Random(i).choices("abcde", k=2 + i % 5)) for i in range(400)})
ABC = Vocabulary("abcde")


@pytest.mark.parametrize("num_items", [2, 3, 5, 47, 300])
def test_each_item_of_a_short_list_is_held_out_once(num_items: int):
    """Catches an item that is judged by a model which has learned it, and one that is never judged."""
    words = WORDS[:num_items]
    parts = folds(Items.from_strings(words))
    assert len(parts) == min(5, num_items)
    assert sorted(item for part in parts for item in part.held_out) == words
    for part in parts:
        assert sorted([*part.train, *part.held_out]) == words


def test_a_long_list_has_one_fold(monkeypatch: pytest.MonkeyPatch):
    """Catches an overlap, and a list that is judged as long as it takes."""
    for module in (judging, recipe):
        monkeypatch.setattr(module, "MIN_HELD_OUT_ITEMS", 20)
    monkeypatch.setattr(judging, "_MAX_JUDGED_ITEMS", 250)
    (part,) = folds(Items.from_strings(WORDS[:300]))
    assert len(part.held_out) == 250 // 10 + 10
    assert len(set(part.train) | set(part.held_out)) == len(part.train) + len(part.held_out) == 250


def test_held_out_joins_the_folds():
    """Catches a fold that is judged by the model of another."""
    parts = folds(Items.from_strings(WORDS[:20]))
    log_p = held_out(parts, ABC, lambda items: count(items, ABC, 2))
    network = count(parts[-1].train, ABC, 2)
    last = score(network, ABC, parts[-1].held_out)
    num_targets = len(parts[-1].held_out.code_points) + len(parts[-1].held_out)
    assert float(-log_p[-num_targets:].sum()) == pytest.approx(float(last.double().sum()), rel=1e-6)
    assert len(log_p) == 20 + sum(map(len, WORDS[:20]))


def test_a_mixture_is_the_weighted_mean():
    """Catches the weight of the other model."""
    first, second = torch.rand(2, 500, generator=torch.Generator().manual_seed(0), dtype=torch.float64).log()
    expected = (0.2 * first.exp() + 0.8 * second.exp()).log()
    torch.testing.assert_close(mixed(first, second, 0.2), expected)
