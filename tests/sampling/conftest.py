"""Fixtures of the sampling tests."""

import pytest
import torch

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import GRU, NGram


@pytest.fixture
def tiny_gru(vocabulary: Vocabulary) -> GRU:
    """An untrained network with an unlimited context, far from uniform."""
    torch.manual_seed(3)
    result = GRU(len(vocabulary), embed_dim=4, hidden_dim=8).double().eval()
    with torch.no_grad():
        result.output.weight *= 6
    return result


@pytest.fixture
def ab_vocabulary() -> Vocabulary:
    return Vocabulary("ab")


@pytest.fixture
def always_ab(ab_vocabulary: Vocabulary) -> NGram:
    """Counts without smoothing of the item ab: any other item has probability 0."""
    network = NGram(len(ab_vocabulary), block_size=2, smoothing=0).eval()
    network.count(torch.tensor([[0, 0], [0, 1], [1, 2]]), torch.tensor([1, 2, 0]))  # .. -> a, .a -> b, ab -> .
    return network
