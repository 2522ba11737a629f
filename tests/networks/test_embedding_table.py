"""The embedding table as part of the interface of networks."""

import pytest
import torch
from torch import nn

from mm_lightning.networks import GRU, MLP, Bigram, NGram, Transformer
from mm_lightning.networks.base import Network


@pytest.mark.parametrize("network", [MLP(5, 3, 7, 4), GRU(5, embed_dim=7), Transformer(5, 8, 1, 2)])
def test_a_network_shows_its_own_table(network: Network):
    """Catches a copy of the table, a table of positions, and a network whose table nobody finds."""
    assert network.embedding_table is network.embedding.weight
    assert network.embedding_table.shape[0] == 5


@pytest.mark.parametrize("kind", [Bigram, NGram])
def test_a_network_without_a_table_says_so(kind: type[Network]):
    """Catches an error in place of None, and another part under the same name taken for the table."""
    network = kind(5)
    assert network.embedding_table is None
    network.embedding = nn.Linear(2, 2)
    assert network.embedding_table is None
    network.embedding = nn.Embedding(5, 2)
    assert torch.equal(network.embedding_table, network.embedding.weight)
