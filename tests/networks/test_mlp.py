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


def test_the_lectures_initializations():
    """Catches scales given to the wrong layer, a bias forgotten, and a table that is not standard normal."""
    torch.manual_seed(0)
    stds = {}
    for name in ("normal", "kaiming"):
        mlp = MLP(27, embed_dim=30, hidden_dim=500, num_layers=2, initialization=name)
        linear = [mlp.hidden[0], mlp.hidden[2], mlp.output]
        stds[name] = [value.std().item() for layer in linear for value in (layer.weight, layer.bias)]
        assert mlp.embedding.weight.std().item() == pytest.approx(1, abs=0.1)
    assert stds["normal"] == pytest.approx([1] * 6, abs=0.2)
    gain = 5 / 3  # of tanh; 3 * 30 and 500 inputs
    expected = [gain / 90**0.5, 0.01, gain / 500**0.5, 0.01, 0.01, 0]
    assert stds["kaiming"] == pytest.approx(expected, rel=0.1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert MLP(27, batch_norm=True, initialization="kaiming").hidden[0].bias is None
