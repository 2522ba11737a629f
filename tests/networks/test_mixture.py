"""The mixture of networks, against arithmetic."""

import pytest
import torch
from eight_names import V, random_ids

from mm_lightning import UserError
from mm_lightning.networks import GRU, MLP, Mixture


@torch.no_grad()
def test_probabilities_are_the_weighted_mean():
    """Catches weights given to other networks, and a mean of logits in place of probabilities."""
    mixture = Mixture(V, [lambda v: MLP(v, 3), GRU], [0.3, 0.7]).eval()
    x = random_ids(4, 6)
    expected = 0.3 * mixture.networks[0].sequence_logits(x).softmax(-1)
    expected = expected + 0.7 * mixture.networks[1].sequence_logits(x).softmax(-1)
    torch.testing.assert_close(mixture(x).exp(), expected.double(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6]])
def test_weights_that_are_no_shares_are_refused(weights: list[float]):
    """Catches probabilities that do not sum to 1."""
    with pytest.raises(UserError, match="Mixture has 2 networks and weights"):
        Mixture(V, [GRU, GRU], weights)
