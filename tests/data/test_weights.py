"""Weights of items: an item of weight 2 is an item written twice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mm_lightning.data import batches
from mm_lightning.data.batches import EveryExample, ItemBatches, TrainBatches
from mm_lightning.data.encoding import Examples, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.shuffle import systematic_counts
from mm_lightning.data.splits import split_items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import cross_entropy, item_nll
from mm_lightning.evaluation.quality import _histograms
from mm_lightning.evaluation.split_loss import SplitLoss
from mm_lightning.networks import LSTM, MLP, KneserNey, NGram
from mm_lightning.networks.base import Network
from mm_lightning.networks.counted.counted_network import CountedNetwork

STRINGS = ["ab", "a", "cab", "bbca", "c"]
WEIGHTS = [2, 1, 3, 1, 7]
VOCABULARY = Vocabulary("abc")
WEIGHTED = replace(Items.from_strings(STRINGS), weights=np.array(WEIGHTS))
REPEATED = Items.from_strings([s for s, w in zip(STRINGS, WEIGHTS, strict=True) for _ in range(w)])


def examples(items: Items, network: Network) -> Examples:
    encoded = encode(items, VOCABULARY)
    block_size = getattr(network, "block_size", None)
    return Windows(encoded, block_size) if block_size else PaddedItems(encoded)


def test_an_example_occurs_in_proportion_to_its_weight():
    """Catches counts that are not the share rounded up or down, and an expectation that is not the share."""
    weights = torch.tensor([3, 1, 20, 5, 1, 2])
    share = len(weights) * weights / weights.sum()
    starts = [(i + 0.5) / int(weights.sum()) for i in range(int(weights.sum()))]
    counts = torch.stack([systematic_counts(weights, start) for start in starts])
    assert (counts.sum(1) == len(weights)).all()
    assert ((counts == share.floor()) | (counts == share.ceil())).all()
    torch.testing.assert_close(counts.double().mean(0), share.double())


def test_equal_weights_leave_the_order_as_it_is():
    """Catches another order for a list whose weights say nothing."""
    plain = Windows(encode(REPEATED, VOCABULARY), 2)
    equal = Windows(encode(replace(REPEATED, weights=np.full(len(REPEATED), 5)), VOCABULARY), 2)
    for expected, found in zip(TrainBatches(plain, 4, seed=3), TrainBatches(equal, 4, seed=3), strict=True):
        assert all(map(torch.equal, expected, found))


def test_batches_with_weights_resume_from_any_position():
    """Catches an epoch whose examples depend on where the run began, and ranks that draw other examples."""
    windows = Windows(encode(WEIGHTED, VOCABULARY), 2)

    def batches(position: int, rank: int = 0, world_size: int = 1) -> list[list[int]]:
        loader = TrainBatches(windows, 4 // world_size, 1, position, rank, world_size)
        return [y.tolist() for _ in range(3) for _, y in loader]

    whole = batches(0)
    assert batches(4)[:5] == whole[4:9]
    assert [a + b for a, b in zip(batches(0, 0, 2), batches(0, 1, 2), strict=True)] == whole
    assert whole[:4] != whole[4:8]


@pytest.mark.parametrize("network", [MLP(4, 2, 4, 8), LSTM(4, 4, 8)], ids=["windows", "items"])
def test_the_expected_gradient_is_that_of_items_written_out(network: Network):
    """Catches weights that reach the wrong examples, such as the windows of the next item."""
    network.double()
    weighted, repeated = examples(WEIGHTED, network), examples(REPEATED, network)
    assert weighted.weights is not None
    total = int(weighted.weights.sum())
    starts = [(i + 0.5) / total for i in range(total)]
    rows = torch.cat(
        [torch.arange(len(weighted)).repeat_interleave(systematic_counts(weighted.weights, s)) for s in starts]
    )

    def gradient(data: Examples, rows: torch.Tensor) -> list[torch.Tensor]:
        x, y = data.gather(rows)
        return list(torch.autograd.grad(cross_entropy(network(x), y, "sum") / len(x), list(network.parameters())))

    expected = gradient(repeated, torch.arange(len(repeated)))
    for one, other in zip(gradient(weighted, rows), expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("make", [lambda: NGram(4, 2), lambda: KneserNey(4, 2)], ids=["NGram", "KneserNey"])
def test_counts_are_those_of_items_written_out(make, monkeypatch: pytest.MonkeyPatch):
    """Catches resampled examples where counting is exact, a weight counted once, and an example lost between parts."""
    monkeypatch.setattr(batches, "_MAX_COUNTED_EXAMPLES", 3)
    counted: list[CountedNetwork] = []
    for items in (WEIGHTED, REPEATED):
        network = make()
        loader = EveryExample(TrainBatches(examples(items, network), None, seed=0))
        for batch in loader:
            for part in batch:
                network.count(*part)
        assert loader.state_dict()["position"] == 1
        counted.append(network)
    assert all(torch.equal(a, b) for a, b in zip(*(n.state_dict().values() for n in counted), strict=True))
    x = torch.tensor([[0, 1], [2, 3], [3, 3]])
    assert torch.equal(counted[0](x), counted[1](x))


@torch.no_grad()
def test_losses_are_those_of_items_written_out():
    """Catches a mean over items in place of targets, and unseen items without their weights."""
    network = MLP(4, 2, 4, 8).double().eval()
    losses = []
    for items in (WEIGHTED, REPEATED):
        weights = (
            torch.ones(len(items), dtype=torch.int64) if items.weights is None else torch.from_numpy(items.weights)
        )
        is_seen = torch.tensor([item == "cab" for item in items]).long()
        loss = SplitLoss()
        for x, y, tags in ItemBatches(encode(items, VOCABULARY), torch.stack([is_seen, weights, is_seen], 1)):
            loss.update(item_nll(network, x, y), (y >= 0).sum(1), tags)
        losses.append(loss.take())
    assert losses[0].keys() == losses[1].keys() == {"loss", "perplexity", "bits_per_char", "loss_unseen"}
    assert [float(v) for v in losses[0].values()] == pytest.approx([float(v) for v in losses[1].values()], rel=1e-12)
    assert float(losses[0]["loss"]) != pytest.approx(float(losses[0]["loss_unseen"]))


def test_repeats_add_up_their_weights():
    """Catches the weight of the first occurrence alone, and weights that stay behind when items are shuffled."""
    items = replace(Items.from_strings(["ab", "c", "ab", "a"]), weights=np.array([2, 1, 5, 3]))
    merged = items.unique()
    assert list(merged) == ["ab", "c", "a"]
    assert merged.weights is not None
    assert merged.weights.tolist() == [7, 1, 3]
    numbered = replace(Items.from_strings(map(str, range(50))), weights=np.arange(1, 51))
    for split in split_items(numbered, "unique", "").all:
        assert split.weights is not None
        assert [int(item) + 1 for item in split] == split.weights.tolist()


def test_a_digest_depends_on_weights_and_labels():
    """Catches a run that resumes on data with other weights or labels."""
    plain = Items.from_strings(STRINGS)
    labels = np.array([0, 1, 0, 1, 0], np.int32)
    variants = [
        plain,
        WEIGHTED,
        replace(plain, weights=np.array([2, 1, 3, 1, 8])),
        replace(plain, labels=labels),
        replace(plain, labels=labels[::-1].copy(), weights=np.array(WEIGHTS)),
        replace(WEIGHTED, labels=1 - labels),
    ]
    assert len({items.digest() for items in variants}) == len(variants)
    hashes = plain.hashes()
    expected = sum(int(h) * (2 * i + 1) for i, h in enumerate(hashes)) % 2**64
    assert plain.digest() == f"{expected:016x}"  # of checkpoints from before weights


def test_measures_of_quality_count_by_weight():
    """Catches a distribution of the data that the samples of a weighted model cannot meet."""
    for name, (values, counts) in _histograms(WEIGHTED).items():
        expected = _histograms(REPEATED)[name]
        assert np.array_equal(values, expected[0])
        np.testing.assert_allclose(counts / counts.sum(), expected[1] / expected[1].sum())
