"""Shuffled orders of epochs: every example once, from any place on, another order each epoch."""

import numpy as np
import pytest
import torch

from mm_lightning.data import shuffle
from mm_lightning.data.batches import TrainBatches
from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.shuffle import EpochShuffles, Shuffle
from mm_lightning.data.vocabulary import Vocabulary


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 1000, 65_537])
def test_every_number_comes_once(count: int):
    """Catches numbers beyond the count, and two places with one number."""
    found = Shuffle(count, [42, 0]).at(np.arange(count, dtype=np.uint64))
    assert np.array_equal(np.sort(found), np.arange(count))


def test_orders_look_random():
    """Catches an order in which neighbours stay neighbours, or places keep their numbers."""
    count = 100_000
    orders = [Shuffle(count, [42, epoch]).at(np.arange(count, dtype=np.uint64)).astype(float) for epoch in (0, 1)]
    for order in orders:
        assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) < 0.02
        assert abs(np.corrcoef(order, np.arange(count))[0, 1]) < 0.02
        assert (order == np.arange(count)).sum() < 10  # 1 is expected
    assert abs(np.corrcoef(*orders)[0, 1]) < 0.02


def test_a_long_order_has_known_numbers():
    """Catches another order in the next version: a resumed run would see examples twice."""
    shuffles = EpochShuffles(80_000_000, None, 42)
    assert shuffles.order(3, 70_000_000, 70_000_004).tolist() == [73539721, 53291856, 5422512, 68325355]


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders of more than 10 examples are made 8 at once."""
    monkeypatch.setattr(shuffle, "_MAX_WHOLE", 10)
    monkeypatch.setattr(shuffle, "_PART", 8)


@pytest.mark.usefixtures("in_parts")
def test_parts_join_to_the_epochs_of_all_ranks():
    """Catches a part of another epoch, and ranks that share examples."""
    items = encode(Items.from_strings(["abc", "d", "ba", "cab", "dad"]), Vocabulary("abcd"))
    examples = Windows(items, 2)  # 17 of them

    def epoch_of(position: int, rank: int) -> torch.Tensor:
        batches, parts = TrainBatches(examples, 3, 42, position, rank, 2), []
        for part in batches.orders():
            batches.position += len(part)
            parts.append(part)
        assert len(parts) > 1
        return torch.cat(parts)

    orders = [epoch_of(0, 0), epoch_of(0, 1), epoch_of(1, 0)]
    assert [len(order) for order in orders] == [2, 2, 2]
    first_epoch = torch.cat([orders[0], orders[1]], 1)
    assert len(first_epoch.unique()) == 12
    assert torch.equal(orders[2][0], orders[0][1])  # the second half of this epoch, then the next one
    assert not torch.equal(orders[2][1], orders[0][0])
    assert torch.equal(first_epoch.flatten(), EpochShuffles(17, None, 42).order(0, 0, 12))


@pytest.mark.usefixtures("in_parts")
def test_weighted_orders_are_whole():
    """Catches weights that a long order passes over."""
    weights = torch.tensor([1] * 19 + [1000])
    shuffles = EpochShuffles(20, weights, 42)
    assert shuffles.most_at_once == 20
    assert (shuffles.order(0, 0, 20) == 19).sum() >= 18
