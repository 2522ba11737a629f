"""Networks with settings that no recipe has, and models of them."""

import random
from collections.abc import Callable
from functools import partial

import torch
from pages import enlarge
from torch import Tensor, nn
from typing_extensions import override

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
from mm_lightning.networks.base import Network, SequenceNetwork, WindowNetwork
from mm_lightning.networks.counted.counted_network import CountedNetwork
from mm_lightning.training.module import LanguageModel

ALPHABET = "abcdefgh"
LABELS = {"F": 3, "M": 1}


class Sum(WindowNetwork):
    """A user's own class: the sum of a row per place."""

    def __init__(self, vocab_size: int, num_labels: int = 0) -> None:
        super().__init__(2)
        self.num_labels = num_labels
        self.weight = nn.Embedding(vocab_size * max(1, num_labels), vocab_size)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.weight(x[:, 0]) + 2 * self.weight(x[:, 1])


class Endless(SequenceNetwork):
    """A user's own class without a context."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.weight = nn.Embedding(vocab_size, vocab_size)

    @override
    def read(self, ids: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.weight(ids), ()


MIXED = partial(
    Mixture,
    networks=[partial(GRU, embed_dim=5, hidden_dim=7), partial(KneserNey, block_size=4), Sum],
    weights=[0.2, 0.3, 0.5],
)
SHORT = partial(
    Mixture, networks=[Bigram, partial(MLP, block_size=3, hidden_dim=9)], weights=[0.4, 0.6], entropy_slopes=[-0.7, 0.3]
)
NETWORKS: dict[str, Callable[..., Network]] = {
    "MLP, context 1": partial(MLP, block_size=1, embed_dim=3, hidden_dim=9),
    "MLP, relu": partial(MLP, hidden_dim=11, activation="relu", embed_dropout=0.1, dropout=0.1, num_layers=2),
    "MLP, gelu": partial(MLP, hidden_dim=11, activation="gelu", num_layers=3, dropout=0.1),
    "MLP, normalised": partial(MLP, hidden_dim=11, num_layers=2, batch_norm=True, embed_dropout=0.1),
    "WaveNet": partial(WaveNet, block_size=4, embed_dim=3, hidden_dim=7),
    "Bigram": Bigram,
    "BagOfWords": partial(BagOfWords, embed_dim=6, hidden_dim=7, num_positions=5),
    "RNN": partial(RNN, embed_dim=5, hidden_dim=7, num_layers=3, dropout=0.1),
    "GRU": partial(GRU, embed_dim=5, hidden_dim=7, num_layers=2),
    "LSTM": partial(LSTM, embed_dim=5, hidden_dim=7, num_layers=2),
    "Transformer": partial(Transformer, embed_dim=12, num_layers=2, num_heads=3, num_positions=5),
    "NGram": partial(NGram, block_size=3, smoothing=0.5),
    "NGram, unsmoothed": partial(NGram, block_size=2, smoothing=0.0),
    "NGram, numbers above 2^53": partial(NGram, block_size=18, smoothing=0.1),
    "KneserNey": partial(KneserNey, block_size=4),
    "KneserNey, context 1": partial(KneserNey, block_size=1),
    "KneserNey, numbers above 2^53": partial(KneserNey, block_size=17),
    "PitmanYor": partial(PitmanYor, block_size=4),
    "PitmanYor, numbers above 2^53": partial(PitmanYor, block_size=17),
    "Mixture": MIXED,
    "Mixture, short context": SHORT,
    "Mixture, geometric": partial(
        Mixture,
        networks=[partial(GRU, embed_dim=5, hidden_dim=7), partial(NGram, block_size=3, smoothing=0.0), Bigram],
        weights=[0.7, 0.3, 0.2],
        geometric=True,
    ),
    "a user's own": Sum,
}


def items_of(number: int, seed: int) -> list[str]:
    """Items without the last letter, which so never occurs; the first ones begin alike."""
    chance = random.Random(seed)
    return ["abab" * (i % 3) + "".join(chance.choices(ALPHABET[:-1], k=chance.randrange(9))) for i in range(number)]


@torch.no_grad()
def count(network: Network, vocab_size: int, num_items: int) -> None:
    """Count items, other ones for each label; the windows are made here, token by token."""
    for member in network.members:
        count(member, vocab_size, num_items)
    if not isinstance(network, CountedNetwork):
        return
    for label in range(max(1, network.num_labels)):
        x, y = [], []
        for item in items_of(num_items, label):
            ids = [0] * network.block_size + [ALPHABET.index(c) + 1 for c in item] + [0]
            for i in range(network.block_size, len(ids)):
                x.append([token + label * vocab_size for token in ids[i - network.block_size : i]])
                y.append(ids[i])
        network.count(torch.tensor(x), torch.tensor(y))


def model_of(make: Callable[..., Network], has_labels: bool = False, num_items: int = 60) -> LanguageModel:
    """A model with weights far from their start, statistics of some batches, and counts of some items."""
    torch.manual_seed(0)
    optimizer = partial(torch.optim.SGD, lr=0.1) if make(len(ALPHABET) + 1).learning == "gradient" else None
    model = LanguageModel(ALPHABET, make, optimizer, labels=LABELS if has_labels else {})
    network = model.network
    count(network, len(model.vocabulary), num_items)
    enlarge(model, 2)
    with torch.no_grad():
        for _ in range(20):  # statistics of normalised layers
            if isinstance(network, WindowNetwork):
                network.train()(torch.randint(9 * max(1, network.num_labels), (32, network.block_size)))
    return model.eval()
