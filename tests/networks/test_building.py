"""Networks that do not fit in memory."""

import pytest
import torch

from mm_lightning import UserError, networks
from mm_lightning.networks import building


@pytest.mark.parametrize("name", ["MLP", "GRU", "Transformer", "WaveNet", "BagOfWords", "Bigram"])
def test_a_network_is_refused_before_its_weights_are_written(monkeypatch: pytest.MonkeyPatch, name: str):
    """Catches a network that is built until the system kills the process, and a limit that ignores the gradients."""
    torch.manual_seed(0)
    built = building.build(getattr(networks, name), 27)
    num_bytes = sum(2 * weight.nbytes for weight in built.parameters())
    written: list[int] = []
    monkeypatch.setattr(
        torch.Tensor, "uniform_", lambda tensor, *args, **kwargs: written.append(tensor.nbytes) or tensor
    )
    monkeypatch.setattr(
        torch.Tensor, "normal_", lambda tensor, *args, **kwargs: written.append(tensor.nbytes) or tensor
    )
    monkeypatch.setattr(building, "memory_bytes", lambda: num_bytes)
    building.build(getattr(networks, name), 27)
    written.clear()
    monkeypatch.setattr(building, "memory_bytes", lambda: 7)
    with pytest.raises(UserError, match=r"model.network needs .* make its sizes smaller"):
        building.build(getattr(networks, name), 27)
    assert written == []
    monkeypatch.setattr(building, "memory_bytes", lambda: num_bytes - 1)
    with pytest.raises(UserError, match=r"model.network needs"):
        building.build(getattr(networks, name), 27)


def test_one_tensor_that_cannot_be_allocated_is_refused():
    """Catches the allocator's traceback where the system grants no such memory."""
    with pytest.raises(UserError, match=r"model.network needs"):
        building.build(lambda vocab_size: networks.MLP(vocab_size, hidden_dim=10**6, num_layers=2), 27)


def test_an_error_of_a_network_stays_its_own():
    """Catches a bug of somebody's network that is taken for a lack of memory."""

    def make(vocab_size: int) -> networks.MLP:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="shapes cannot"):
        building.build(make, 27)
