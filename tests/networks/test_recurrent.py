"""Recurrent networks, against torch's cells and kernels."""

import pytest
import torch
from eight_names import V, random_ids
from torch import nn

from mm_lightning.networks import GRU, LSTM, RNN
from mm_lightning.networks.recurrent import GRUCells, RecurrentNetwork


@pytest.mark.parametrize(("kind", "torch_cell"), [(GRU, nn.GRUCell), (LSTM, nn.LSTMCell), (RNN, nn.RNNCell)])
def test_logits_equal_those_of_torchs_cell(kind: type[RecurrentNetwork], torch_cell: type[nn.RNNCellBase]):
    """Catches a state that does not start at zero, and outputs of another position."""
    torch.manual_seed(0)
    network = kind(V, embed_dim=4, hidden_dim=5)
    cell = torch_cell(4, 5)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in network.recurrence.state_dict().items()})
    ids, state = random_ids(3, 7), None
    for t in range(7):
        state = cell(network.embedding(ids[:, t]), state)
        hidden = state[0] if isinstance(state, tuple) else state
        torch.testing.assert_close(network.sequence_logits(ids)[:, t], network.output(hidden))


@pytest.mark.parametrize("kind", [GRU, LSTM, RNN])
def test_equations_for_the_compiler_equal_torchs_kernels(kind: type[RecurrentNetwork], monkeypatch: pytest.MonkeyPatch):
    """Catches a compiled run of another model: gates in another order, a layer or a state left out."""
    torch.manual_seed(0)
    network = kind(V, embed_dim=4, hidden_dim=5, num_layers=2).double()
    ids = random_ids(3, 7)
    _, state = network.advance(ids, ())

    def results() -> list[torch.Tensor]:
        logits, after = network.read(ids, tuple(tensor.detach() for tensor in state))
        return [logits, *after, *torch.autograd.grad(logits.square().sum(), network.parameters())]

    of_kernels = results()
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    monkeypatch.setattr(network.recurrence, "kernel", None)  # a call of the kernel would raise
    for ours, expected in zip(results(), of_kernels, strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("kind", [GRU, LSTM, RNN])
@pytest.mark.parametrize("is_another", [False, True])
def test_bfloat16_is_read_on_every_processor(
    kind: type[RecurrentNetwork], is_another: bool, monkeypatch: pytest.MonkeyPatch
):
    """Catches a kernel that fails where the processor has no bfloat16."""
    if is_another:  # one without bfloat16
        monkeypatch.setattr("mm_lightning.networks.recurrent.has_bfloat16", lambda: False)
    torch.manual_seed(0)
    network = kind(V, embed_dim=4, hidden_dim=5)
    ids = random_ids(3, 7)
    expected = network(ids)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(ids)
    logits.sum().backward()
    assert network.recurrence.get_parameter("weight_hh_l0").grad is not None
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", [GRU, LSTM, RNN])
def test_weight_dropout_is_that_of_the_weights_between_states(kind: type[RecurrentNetwork]):
    """Catches other weights that are dropped, dropout of the stored weights, and dropout in eval mode."""
    torch.manual_seed(0)
    network, plain = kind(V, 4, 5, weight_dropout=0.5), kind(V, 4, 5)
    plain.load_state_dict(network.state_dict())
    ids = random_ids(3, 7)
    torch.testing.assert_close(network.eval()(ids), plain.eval()(ids))
    torch.manual_seed(1)
    dropped = network.train()(ids)
    torch.manual_seed(1)
    weight = plain.recurrence.get_parameter("weight_hh_l0")
    with torch.no_grad():
        weight.copy_(nn.functional.dropout(weight, 0.5))
    assert 0 < int((weight == 0).sum()) < weight.numel()
    torch.testing.assert_close(dropped, plain(ids))


def test_a_cell_needs_no_kernel_of_torch():
    """Catches a new cell that trains only where torch has a kernel for it."""

    class CellsWithoutKernel(GRUCells):
        kernel = None

    torch.manual_seed(0)
    cells, plain = GRUCells(4, 5, 2, 0.0, 0.0), CellsWithoutKernel(4, 5, 2, 0.0, 0.0)
    plain.load_state_dict(cells.state_dict())
    x = torch.randn(3, 7, 4)
    (outputs, (after,)), (same, (same_after,)) = cells(x, ()), plain(x, ())
    torch.testing.assert_close(same, outputs)
    torch.testing.assert_close(same_after, after)
