"""The mixture of networks, against arithmetic."""

import pytest
import torch
from eight_names import V, random_ids

from mm_lightning import UserError
from mm_lightning.networks import GRU, MLP, Mixture
from mm_lightning.networks.mixture import fit_slopes, fit_weights


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


def test_each_network_has_a_slope():
    """Catches a network whose weight follows the entropy of another."""
    with pytest.raises(UserError, match=r"Mixture has 2 networks and entropy_slopes \[1.0\]; give each one"):
        Mixture(V, [GRU, GRU], [0.5, 0.5], [1.0])


def test_weights_have_the_highest_likelihood_of_all():
    """Catches weights in another order, and a search that ends too early."""
    log_p = list(torch.rand(3, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64).log())
    weights = fit_weights(log_p)

    def likelihood(values: list[float]) -> float:
        return float(sum(w * each.exp() for w, each in zip(values, log_p, strict=True)).log().sum())

    assert sum(weights) == pytest.approx(1)
    grid = [(a / 50, b / 50, 1 - a / 50 - b / 50) for a in range(51) for b in range(51 - a)]
    assert likelihood(weights) >= max(likelihood(list(each)) for each in grid)


def test_a_target_counts_by_its_number():
    """Catches weights of items that have no effect."""
    log_p = list(torch.rand(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64).log())
    counts = torch.randint(1, 4, (50,), generator=torch.Generator().manual_seed(2))
    repeated = [each.repeat_interleave(counts) for each in log_p]
    assert fit_weights(log_p, counts) == pytest.approx(fit_weights(repeated), abs=1e-4)


@torch.no_grad()
def test_a_weight_follows_the_entropy():
    """Catches the entropy of another network, slopes of another sign, and weights that do not sum to 1."""
    weights, slopes = [0.3, 0.7], [-2.0, 0.5]
    mixture = Mixture(V, [lambda v: MLP(v, 3), GRU], weights, slopes).eval()
    x = random_ids(4, 6)
    parts = [network.sequence_logits(x).softmax(-1).double() for network in mixture.members]
    entropies = [-(p * p.log()).sum(-1, keepdim=True) for p in parts]
    shares = [w * torch.exp(s * h) for w, s, h in zip(weights, slopes, entropies, strict=True)]
    expected = (shares[0] * parts[0] + shares[1] * parts[1]) / (shares[0] + shares[1])
    torch.testing.assert_close(mixture(x).exp(), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(mixture.next_logits(x), mixture(x)[:, -1])


def test_slopes_find_who_is_right_when_sure():
    """Catches slopes that are not fitted, and a fit that ends above the best weights without slopes."""
    generator = torch.Generator().manual_seed(0)
    entropies = list(torch.rand(2, 2000, generator=generator, dtype=torch.float64) * 3)
    log_p = [-entropies[0], torch.full((2000,), -1.5, dtype=torch.float64)]  # only the first is right when sure
    weights, slopes = fit_slopes(log_p, entropies)

    def loss(weights: list[float], slopes: list[float]) -> float:
        shares = torch.stack([w * torch.exp(s * h) for w, s, h in zip(weights, slopes, entropies, strict=True)])
        return float(-((shares / shares.sum(0)) * torch.stack(log_p).exp()).sum(0).log().mean())

    assert slopes[0] < -1
    assert sum(weights) == pytest.approx(1)
    assert loss(weights, slopes) < loss(fit_weights(log_p), [0.0, 0.0]) - 0.01


def test_targets_that_no_network_can_predict_say_nothing():
    """Catches NaN where counts without smoothing give probability 0."""
    possible = list(torch.rand(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64).log())
    impossible = [torch.cat([each, torch.tensor([-torch.inf])]) for each in possible]
    assert fit_weights(impossible) == pytest.approx(fit_weights(possible))
    entropies = [torch.ones(51), torch.ones(51)]
    assert not torch.tensor(fit_slopes(impossible, entropies)).isnan().any()
