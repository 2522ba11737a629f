"""The mixture of networks, against arithmetic."""

import pytest
import torch
from eight_names import V, random_ids

from mm_lightning import UserError
from mm_lightning.networks import GRU, MLP, Mixture
from mm_lightning.networks.mixture import fit_powers, fit_weights, geometric_mean


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


def test_a_geometric_mean_has_no_slopes():
    """Catches slopes that are ignored without a word."""
    with pytest.raises(UserError, match="Mixture has entropy_slopes, which a geometric mean does not heed"):
        Mixture(V, [GRU, GRU], [0.5, 0.5], [1.0, 1.0], geometric=True)


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


@torch.no_grad()
def test_a_geometric_mean_is_a_product_of_powers():
    """Catches powers of other networks, no division by the sum, and a network that forbids an id."""
    mixture = Mixture(V, [lambda v: MLP(v, 3), GRU], [0.6, 0.5], geometric=True).eval()
    x = random_ids(4, 6)
    first, second = (network.sequence_logits(x).softmax(-1).double() for network in mixture.members)
    expected = first**0.6 * second**0.5
    torch.testing.assert_close(mixture(x).exp(), expected / expected.sum(-1, keepdim=True), atol=1e-6, rtol=0)
    torch.testing.assert_close(mixture.next_logits(x), mixture(x)[:, -1])
    forbidding = torch.tensor([[-torch.inf, -0.1], [0.0, -3.0]], dtype=torch.float64)
    p = geometric_mean(forbidding, torch.tensor([0.1, 0.9], dtype=torch.float64)).exp()
    assert 0.1 < p[0] < 0.9


def test_powers_have_the_highest_likelihood_of_all():
    """Catches powers in another order, targets that count wrongly, and a search that ends too early."""
    generator = torch.Generator().manual_seed(0)
    log_p = torch.randn(300, 4, 2, generator=generator, dtype=torch.float64).log_softmax(1)
    p = geometric_mean(log_p, torch.tensor([0.3, 0.5], dtype=torch.float64)).exp()
    targets = torch.multinomial(p, 1, generator=generator).squeeze(1)
    counts = torch.randint(1, 4, (300,), generator=generator)
    powers = fit_powers(log_p, targets, counts)

    def likelihood(values: list[float]) -> float:
        own = geometric_mean(log_p, torch.tensor(values, dtype=torch.float64)).gather(1, targets[:, None]).squeeze(1)
        return float((own * counts).sum())

    grid = [(a / 50, b / 50) for a in range(51) for b in range(51)]
    assert likelihood(powers) >= max(likelihood(list(each)) for each in grid)
    assert all(0.1 < power < 0.9 for power in powers)


def test_powers_suit_a_network_that_is_held_at_the_bound():
    """Catches the power of one network that suits a power above 1 of another, which is then cut."""
    generator = torch.Generator().manual_seed(2)
    true = 2 * torch.randn(2000, 6, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 2000, 6, generator=generator, dtype=torch.float64)
    log_p = torch.stack([(true / 2.5 + 0.2 * noise[0]), (true / 3 + 0.5 * noise[1])], 2).log_softmax(1)
    targets, counts = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0], torch.ones(2000)
    powers = fit_powers(log_p, targets, counts)

    def loss(second: float) -> float:
        mean = geometric_mean(log_p, torch.tensor([1.0, second], dtype=torch.float64))
        return -float(mean.gather(1, targets[:, None]).mean())

    assert powers[0] == 1
    assert loss(powers[1]) <= min(loss(second / 50) for second in range(51))


def test_a_network_that_knows_nothing_is_left_out():
    """Catches a network that costs time for nothing, or that takes away from the others."""
    generator = torch.Generator().manual_seed(1)
    good, noise = torch.randn(2, 500, 4, generator=generator, dtype=torch.float64).log_softmax(2)
    targets = torch.multinomial(good.exp(), 1, generator=generator)[:, 0]
    inverse = (-good).log_softmax(1)
    powers = fit_powers(torch.stack([good, inverse, noise], 2), targets, torch.ones(500))
    assert powers[0] > 0.5
    assert powers[1] == 0


def test_targets_that_no_network_can_predict_say_nothing():
    """Catches NaN where counts without smoothing give probability 0."""
    possible = list(torch.rand(2, 50, generator=torch.Generator().manual_seed(1), dtype=torch.float64).log())
    impossible = [torch.cat([each, torch.tensor([-torch.inf])]) for each in possible]
    assert fit_weights(impossible) == pytest.approx(fit_weights(possible))
