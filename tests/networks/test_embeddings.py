"""Embeddings of tokens and labels."""

import torch
from torch import nn

from mm_lightning.networks import MLP
from mm_lightning.networks.parts.embeddings import TokenEmbedding
from mm_lightning.networks.parts.label_view import LabelView


def test_without_labels_it_is_torchs_embedding():
    """Catches other random draws, other names or other bits for the models without labels."""
    torch.manual_seed(0)
    expected = nn.Embedding(7, 3)
    after = torch.rand(2)
    torch.manual_seed(0)
    found = TokenEmbedding(7, 0, 3)
    assert torch.equal(torch.rand(2), after)
    assert list(found.state_dict()) == list(expected.state_dict())
    ids = torch.arange(7)
    assert torch.equal(found(ids), expected(ids))


def test_a_label_adds_its_vector():
    """Catches labels and tokens mixed up in an id."""
    embedding = TokenEmbedding(7, 4, 3)
    assert embedding.labels is not None
    expected = embedding.weight[5] + embedding.labels.weight[2]
    torch.testing.assert_close(embedding(torch.tensor(2 * 7 + 5)), expected)
    torch.testing.assert_close(embedding.rows, embedding(torch.arange(28)))


@torch.no_grad()
def test_projected_windows_equal_embedded_ones():
    """Catches ids of another label in the table of projections, which serves large batches only."""
    torch.manual_seed(0)
    network = MLP(5, 3, embed_dim=16, hidden_dim=8, num_labels=2).eval()
    x = torch.randint(0, 5, (100, 3)) + 5 * torch.randint(0, 2, (100, 1))
    torch.testing.assert_close(network(x), torch.cat([network(row) for row in x.split(10)]))


def test_a_view_has_the_mode_of_its_network():
    """Catches samples with dropout, and a network that stays in eval mode after its view was sampled."""
    network = MLP(5, num_labels=2)
    view = LabelView(network, 5, 1)
    assert view.training
    network.eval()
    assert not view.training
    view.train()
    assert network.training
    assert view.training
