"""The MLP, against the lecture's lines."""

import random

import pytest
import torch
from eight_names import V

from mm_lightning.networks import MLP


def test_logits_equal_the_lectures_lines():
    """Catches embeddings concatenated in another order, or another activation function."""
    torch.manual_seed(0)
    mlp = MLP(V, block_size=3, embed_dim=2, hidden_dim=5)
    table, w1, b1 = mlp.embedding.weight, mlp.hidden[0].weight.T, mlp.hidden[0].bias
    w2, b2 = mlp.output.weight.T, mlp.output.bias
    x = random.Random(0).choices(range(V), k=12)
    ix = torch.tensor(x).view(4, 3)
    expected = torch.tanh(table[ix].view(-1, 6) @ w1 + b1) @ w2 + b2
    torch.testing.assert_close(mlp(ix), expected)


@pytest.mark.parametrize("vocab_size", [5, 40])
def test_projecting_each_id_once_gives_the_same_gradients(monkeypatch: pytest.MonkeyPatch, vocab_size: int):
    """Catches positions or ids mixed up in the table of projections for large batches, and a bias left out."""
    torch.manual_seed(0)
    network = MLP(vocab_size, block_size=3, embed_dim=16, hidden_dim=7).double()
    count = 8 * vocab_size
    x, y = torch.randint(0, vocab_size, (count, 3)), torch.randint(0, vocab_size, (count,))
    calls = []
    project = network._project
    monkeypatch.setattr(network, "_project", lambda *args: calls.append(1) or project(*args))
    at_once = torch.autograd.grad(torch.nn.functional.cross_entropy(network(x), y), network.parameters())
    assert len(calls) == 1
    logits = torch.cat([network(half) for half in x.split(count // 2)])  # too few windows for the projections
    plain = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y), network.parameters())
    assert len(calls) == 1
    for ours, expected in zip(at_once, plain, strict=True):
        torch.testing.assert_close(ours, expected)
