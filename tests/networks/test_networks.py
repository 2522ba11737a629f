"""Laws that hold for every network, and published numbers of parameters."""

import math
import random
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
import torch
from eight_names import ALPHABET, EIGHT, V, random_ids

from mm_lightning.data.encoding import IGNORE, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import (
    GRU,
    LSTM,
    MLP,
    RNN,
    BagOfWords,
    Bigram,
    KneserNey,
    Mixture,
    NGram,
    PitmanYor,
    Transformer,
    WaveNet,
)
from mm_lightning.networks.base import Network, WindowNetwork
from mm_lightning.networks.counted.counted_network import CountedNetwork
from mm_lightning.networks.parts.label_view import LabelView

NETWORKS: dict[str, Callable[[], Network]] = {
    "MLP, context 1": lambda: MLP(V, block_size=1, embed_dim=6, hidden_dim=48),
    "MLP, context 3": lambda: MLP(V, block_size=3, embed_dim=6, hidden_dim=48),
    "MLP, context 8": lambda: MLP(V, block_size=8, embed_dim=6, hidden_dim=48),
    "MLP, deep": lambda: MLP(V, 3, 6, 48, num_layers=2, activation="gelu", embed_dropout=0.01, dropout=0.01),
    "MLP, normalised": lambda: MLP(V, 3, 6, 48, num_layers=2, batch_norm=True),
    "WaveNet, context 2": lambda: WaveNet(V, block_size=2, embed_dim=6, hidden_dim=32),
    "WaveNet, context 8": lambda: WaveNet(V, block_size=8, embed_dim=6, hidden_dim=32),
    "Bigram": lambda: Bigram(V),
    "BagOfWords": lambda: BagOfWords(V, embed_dim=32, hidden_dim=64, num_positions=5),
    "RNN": lambda: RNN(V, embed_dim=16, hidden_dim=32),
    "GRU": lambda: GRU(V, embed_dim=16, hidden_dim=32, num_layers=2),
    "LSTM": lambda: LSTM(V, embed_dim=16, hidden_dim=32),
    "Transformer": lambda: Transformer(V, embed_dim=32, num_layers=2, num_heads=2, num_positions=5),
    "NGram, context 1": lambda: counted(NGram(V, block_size=1)),
    "NGram, context 3": lambda: counted(NGram(V, block_size=3, smoothing=0.5)),
    "KneserNey, context 1": lambda: counted(KneserNey(V, block_size=1)),
    "KneserNey, context 4": lambda: counted(KneserNey(V, block_size=4)),
    "Mixture": lambda: mixed([lambda v: GRU(v, 16, 32), lambda v: MLP(v, 2, 6, 48), lambda v: LSTM(v, 16, 32)]),
    "Mixture, short context": lambda: mixed([Bigram, lambda v: MLP(v, 3, 6, 48)]),
    "PitmanYor, context 3": lambda: counted(PitmanYor(V, block_size=3)),
    # a view of a network with labels is a network without
    "MLP, labels": lambda: LabelView(MLP(V, 3, 6, 48, num_labels=3), V, 1),
    "WaveNet, labels": lambda: LabelView(WaveNet(V, block_size=8, embed_dim=6, hidden_dim=32, num_labels=3), V, 2),
    "Bigram, labels": lambda: LabelView(Bigram(V, num_labels=3), V, 2),
    "BagOfWords, labels": lambda: LabelView(BagOfWords(V, 32, 64, num_positions=5, num_labels=3), V, 1),
    "RNN, labels": lambda: LabelView(RNN(V, embed_dim=16, hidden_dim=32, num_labels=3), V, 1),
    "GRU, labels": lambda: LabelView(GRU(V, 16, 32, num_layers=2, num_labels=3), V, 1),
    "LSTM, labels": lambda: LabelView(LSTM(V, embed_dim=16, hidden_dim=32, num_labels=3), V, 2),
    "Transformer, labels": lambda: LabelView(Transformer(V, 32, 2, 2, num_positions=5, num_labels=3), V, 2),
    "NGram, labels": lambda: LabelView(counted(NGram(V, block_size=3, num_labels=3)), V, 1),
    "Mixture, geometric": lambda: mixed([lambda v: GRU(v, 16, 32), lambda v: MLP(v, 2, 6, 48)], geometric=True),
    "Mixture, labels": lambda: LabelView(
        Mixture(V, [Bigram, partial(MLP, hidden_dim=48)], [0.5, 0.5], [-1.0, 0.5], 3), V, 1
    ),
    "PitmanYor, labels": lambda: LabelView(counted(PitmanYor(V, block_size=3, num_labels=3)), V, 1),
    "KneserNey, labels": lambda: LabelView(counted(KneserNey(V, block_size=4, num_labels=3)), V, 2),
}


def inner(network: Network) -> Network:
    """The network that a view shows, or the network itself."""
    return network.network if isinstance(network, LabelView) else network


def mixed(networks: list[Callable[[int], Network]], geometric: bool = False) -> Network:
    return Mixture(V, networks, [0.5, *[0.5 / (len(networks) - 1)] * (len(networks) - 1)], geometric=geometric)


def counted(network: CountedNetwork) -> Network:
    """Count the eight names, and items of random characters so that every pair occurs; other items for each label."""
    for label in range(max(1, network.num_labels)):
        strings = ["".join(random.Random(i + 300 * label).choices(ALPHABET, k=9)) for i in range(300)]
        x, y = training_examples(network, EIGHT + strings)
        network.count(x + label * V, y)
    return network


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return request.param().eval()  # type: ignore[no-any-return]


def training_examples(network: Network, strings: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """All training examples of the items, in the network's layout."""
    items = encode(Items.from_strings(strings), Vocabulary(ALPHABET))
    network = inner(network)
    examples = Windows(items, network.block_size) if isinstance(network, WindowNetwork) else PaddedItems(items)
    return examples.gather(torch.arange(len(examples)))


def context_entropy(strings: list[str], block_size: int | None) -> float:
    """Lowest possible loss per character with a context of `block_size` characters; None for the whole prefix."""
    pairs = [(item[:i], (item + ".")[i]) for item in strings for i in range(len(item) + 1)]
    if block_size is not None:
        pairs = [(context[-block_size:].rjust(block_size, "."), target) for context, target in pairs]
    pair_counts, context_counts = Counter(pairs), Counter(context for context, _ in pairs)
    return -sum(math.log(pair_counts[pair] / context_counts[pair[0]]) for pair in pairs) / len(pairs)


@torch.no_grad()
def test_shapes(network: Network):
    """Catches a transposed or squeezed dimension, which broadcasting would hide in the loss."""
    x, y = training_examples(network, EIGHT)
    ids = random_ids(4, 6)
    assert network(x).shape == (*y.shape, V)
    assert network.sequence_logits(ids).shape == (4, 6, V)
    assert network.next_logits(ids).shape == (4, V)


@torch.no_grad()
def test_causality(network: Network):
    """Catches a network that sees its targets."""
    ids = random_ids(5, 12)
    logits = network.sequence_logits(ids)
    for t in range(11):
        changed = ids.clone()
        changed[:, t + 1 :] = ids[:, t + 1 :] % (V - 1) + 1  # every later id becomes another one
        torch.testing.assert_close(network.sequence_logits(changed)[:, : t + 1], logits[:, : t + 1])


@torch.no_grad()
def test_the_newest_character_counts(network: Network):
    """Catches a network that is causal but does not see the last character."""
    ids = random_ids(5, 12)
    for t in range(1, 12):
        changed = ids.clone()
        changed[:, t] = ids[:, t] % (V - 1) + 1
        difference = (network.sequence_logits(changed) - network.sequence_logits(ids))[:, t].abs().amax(1)
        is_counted = isinstance(inner(network), CountedNetwork)
        assert (difference > 1e-4).any() if is_counted else (difference > 1e-4).all()


@torch.no_grad()
def test_next_logits_are_the_last_sequence_logits(network: Network):
    """Catches sampling and scoring that differ, at the start of an item or beyond the context."""
    ids = random_ids(5, 12)
    for length in range(1, 13):
        prefix = ids[:, :length]
        torch.testing.assert_close(network.next_logits(prefix), network.sequence_logits(prefix)[:, -1])


@torch.no_grad()
def test_advance_in_pieces_equals_reading_at_once(network: Network):
    """Catches a state that is not advanced, advanced twice, or mixed up between items when rows are removed."""
    ids = random_ids(5, 12)
    expected = network.sequence_logits(ids)
    logits, state = network.advance(ids[:, :2], ())
    torch.testing.assert_close(logits, expected[:, 1])
    rows = torch.arange(5)
    for t, length in ((2, 1), (3, 2), (5, 1), (6, 3), (9, 1), (10, 1), (11, 1)):
        is_kept = torch.ones(len(rows), dtype=torch.bool)
        is_kept[t % len(rows)] = len(rows) <= 2
        rows, state = rows[is_kept], tuple(tensor[is_kept] for tensor in state)
        logits, state = network.advance(ids[rows, t : t + length], state)
        torch.testing.assert_close(logits, expected[rows, t + length - 1])


@torch.no_grad()
def test_items_of_a_batch_do_not_mix(network: Network):
    """Catches statistics over the batch in scoring: an item's NLL would depend on other items and on padding."""
    ids = random_ids(5, 12)
    logits = network.sequence_logits(ids)
    for row, expected in zip(ids, logits, strict=True):
        torch.testing.assert_close(network.sequence_logits(row[None])[0], expected)


@torch.no_grad()
def test_training_and_scoring_have_the_same_logits(network: Network):
    """Catches windows in training that differ from those in scoring, where items begin or end."""
    x, y = training_examples(network, EIGHT)
    padded_x, padded_y = PaddedItems(encode(Items.from_strings(EIGHT), Vocabulary(ALPHABET))).gather(torch.arange(8))
    assert torch.equal(y[y != IGNORE], padded_y[padded_y != IGNORE])
    torch.testing.assert_close(network(x)[y != IGNORE], network.sequence_logits(padded_x)[padded_y != IGNORE])


def test_eight_names_are_learnt_to_their_entropy(network: Network):
    """Catches parameters without a gradient, and shifted targets: the loss would stay above the entropy."""
    if inner(network).learning != "gradient":
        pytest.skip("does not learn by gradient; see test_ngram and test_mixture")
    x, y = training_examples(network, EIGHT)
    lr = 0.1 if isinstance(inner(network), Bigram) else 0.01  # its only weights must lower logits far
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0)
    network.train()
    for _ in range(400):
        optimizer.zero_grad()
        cross_entropy(network(x), y).backward()
        optimizer.step()
    network.eval()
    loss = float(cross_entropy(network(x), y).detach())
    entropy = context_entropy(EIGHT, network.context)
    assert entropy - 1e-4 < loss < entropy + 0.01


@torch.no_grad()
def test_a_label_is_in_view_at_every_position(network: Network):
    """Catches a label that is read at the beginning of an item only, and labels that are taken for another."""
    if not isinstance(network, LabelView):
        assert network.num_labels == 0
        return
    ids = random_ids(5, 12)
    views = [LabelView(network.network, V, label).sequence_logits(ids) for label in range(3)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        difference = (views[a] - views[b]).abs().amax((0, 2))  # (T,)
        assert (difference > 1e-4).all()


def test_context_entropy_by_hand():
    """Catches an error in the oracle."""
    assert context_entropy(["a"], 1) == 0
    assert context_entropy(["ab", "ac"], 1) == pytest.approx(2 * math.log(2) / 6)  # all is certain but b or c after a
    assert context_entropy(["aa", "ba"], 1) == pytest.approx((2 * math.log(2) - 2 * math.log(2 / 3) + math.log(3)) / 6)
    assert context_entropy(["aa", "ba"], None) == pytest.approx(2 * math.log(2) / 6)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        pytest.param(MLP(27, 3, 10, 200), 11_897, id="the lecture's last MLP"),
        pytest.param(MLP(27, 3, 2, 100), 3_481, id="the lecture's first MLP"),
        pytest.param(MLP(27, 3, 2, 300), 10_281, id="the lecture's second MLP"),
        pytest.param(WaveNet(27, 8, 10, 68), 22_397, id="WaveNet 22K"),
        pytest.param(WaveNet(27, 8, 24, 128), 76_579, id="WaveNet 76K"),
        pytest.param(MLP(27, 8, 10, 200), 21_897, id="flat MLP 22K"),
        pytest.param(Transformer(27, 64, 4, 4, num_positions=16), 204_544, id="makemore's Transformer"),
        pytest.param(Bigram(27), 729, id="bigram"),
    ],
)
def test_published_numbers_of_parameters(network: Network, expected: int):
    """Catches a missing layer, an extra bias, and an embedding table per position."""
    assert sum(p.numel() for p in network.parameters()) == expected


def test_dropout_and_batch_statistics_are_for_training_only():
    """Catches dropout or batch statistics in eval mode, and dropout that is never applied."""
    x = random_ids(4, 8)
    for make in (
        lambda: MLP(V, 8, dropout=0.5),
        lambda: MLP(V, 8, embed_dropout=0.5),
        lambda: GRU(V, dropout=0.5),
        lambda: Transformer(V, dropout=0.5),
    ):
        network = make()
        assert not torch.equal(network.train()(x), network.train()(x))
        assert torch.equal(network.eval()(x), network.eval()(x))
    normalised = WaveNet(V)
    assert not torch.allclose(normalised.train()(x), normalised.eval()(x))
