"""Recorded outputs of layers: which layers, which values, and no hooks left behind."""

import numpy as np
import pytest
import torch
from torch import nn

from mm_lightning.evaluation.activations import recorded_outputs, tanh_activations
from mm_lightning.networks import GRU, MLP, RNN, Transformer, WaveNet


def test_hooks_record_every_call_and_are_removed_after_an_error():
    """Catches hooks left behind by a failed pass, a repeated call that replaces the first, and unwanted layers."""
    network = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.RNN(2, 3))
    x = torch.randn(4, 2)
    with recorded_outputs(network, lambda layer: isinstance(layer, nn.Linear | nn.RNN)) as outputs:
        first, (second, _) = network[0](x), network(x)
    assert {name: len(calls) for name, calls in outputs.items()} == {"0": 2, "2": 1}
    assert torch.equal(outputs["0"][0], first)
    assert torch.equal(outputs["2"][0], second)
    with pytest.raises(RuntimeError), recorded_outputs(network, lambda _: True):
        network(torch.randn(4, 3))
    assert not any(layer._forward_hooks for layer in network.modules())


def test_tanh_outputs_are_found():
    """Catches outputs read before the tanh, and the outputs of other layers."""
    network = MLP(3, block_size=1, embed_dim=1, hidden_dim=4).eval()
    with torch.no_grad():
        network.embedding.weight.copy_(torch.tensor([[0.0], [1.0], [-1.0]]))
        network.hidden[0].weight.copy_(torch.tensor([[9.0], [-9.0], [0.5], [0.0]]))
        network.hidden[0].bias.zero_()
    layers = tanh_activations(network, torch.tensor([[0], [1], [2]]), torch.tensor([1, 2, 0]))
    (name, found), *others = layers.items()
    assert (name, others) == ("hidden.1 (Tanh)", [])
    big, half = float(np.tanh(9)), float(np.tanh(0.5))
    expected = [[0, 0, 0, 0], [big, -big, half, 0], [-big, big, -half, 0]]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype))


@pytest.mark.parametrize("kind", [RNN, GRU])
def test_padding_has_no_activations(kind):
    """Catches outputs behind the end of an item."""
    network = kind(5, embed_dim=3, hidden_dim=4).eval()
    x, y = torch.tensor([[0, 1, 2], [0, 3, 0]]), torch.tensor([[1, 2, 0], [3, 0, -100]])
    (found,) = tanh_activations(network, x, y).values()
    states = network.recurrence(network.embedding(x), ())[0]
    torch.testing.assert_close(found, torch.cat([states[0], states[1, :2]]))


def test_every_layer_of_a_tree_is_found_and_no_tanh_where_there_is_none():
    """Catches a layer with positions left out, and an error for a network without tanh."""
    found = tanh_activations(WaveNet(5, 8, 4, 6).eval(), torch.zeros(3, 8, dtype=torch.int64), torch.ones(3))
    assert [tuple(values.shape) for values in found.values()] == [(12, 6), (6, 6), (3, 6)]
    assert not tanh_activations(Transformer(5, 8, 1, 2).eval(), torch.zeros(1, 3).long(), torch.ones(1, 3))
    assert not tanh_activations(MLP(5, activation="relu").eval(), torch.zeros(1, 3).long(), torch.ones(1))


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_a_recurrent_layer_of_torch_counts_by_its_nonlinearity(nonlinearity):
    """Catches a recurrent layer with relu taken for tanh units, and one with tanh overlooked."""
    network = nn.Sequential(nn.RNN(3, 4, nonlinearity=nonlinearity))
    found = tanh_activations(network, torch.randn(2, 5, 3), torch.ones(2, 5))
    shapes = {name: tuple(values.shape) for name, values in found.items()}
    assert shapes == ({"0 (RNN)": (10, 4)} if nonlinearity == "tanh" else {})
