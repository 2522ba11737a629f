"""Average of networks: most useful where the networks differ in kind, such as counts and a recurrent network.

A network can weigh more where it is sure. Then the logarithm of its weight changes with the entropy of its prediction:
counts are sure after letters that they have seen often, and a recurrent network later in an item.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import PositiveFraction, Slope
from mm_lightning.networks.base import Network, State, float64_at
from mm_lightning.networks.building import NetworkFactory

_MAX_FITTING_STEPS = 1000
_MAX_WEIGHT_CHANGE = 1e-6  # of the last step
_MIN_WEIGHT = 1e-300  # above 0, which is no weight
_SLOPE_PENALTY = 1e-5  # of a slope's square, in nats: keeps slopes finite where one network is always right when sure


def fit_weights(log_p: Sequence[Tensor], counts: Tensor | None = None) -> list[float]:
    """Find the weights with which a mixture is most likely, by expectation maximisation; there is one maximum.

    Args:
        log_p: (num_targets,) log-probabilities of held-out targets, of each network.
        counts: (num_targets,) how many times each target counts; None for once.

    Returns:
        Weight of each network; their sum is 1.
    """
    p = torch.stack(list(log_p), 1).double()  # (num_targets, networks)
    p = (p - p.amax(1, keepdim=True)).exp()  # relative to the best network
    share = torch.ones(len(p), dtype=torch.float64) if counts is None else counts.double()
    has_any = ~p.isnan().any(1)  # a target that no network can predict says nothing
    p, share = p[has_any], share[has_any] / share[has_any].sum()
    weights = torch.full((p.shape[1],), 1 / p.shape[1], dtype=torch.float64)
    for _ in range(_MAX_FITTING_STEPS):
        previous, weights = weights, weights * (p.t() @ (share / (p @ weights)))
        if (weights - previous).abs().max() < _MAX_WEIGHT_CHANGE:
            break
    return weights.tolist()


def _log_weights(log_weights: Tensor, slopes: Tensor, entropies: Tensor) -> Tensor:
    return (log_weights + slopes * entropies).log_softmax(-1)


def fit_slopes(
    log_p: Sequence[Tensor], entropies: Sequence[Tensor], counts: Tensor | None = None
) -> tuple[list[float], list[float]]:
    """Find the weights and the entropy slopes of a mixture, by gradient from the best weights without slopes.

    Args:
        log_p: (num_targets,) log-probabilities of held-out targets, of each network.
        entropies: (num_targets,) entropy of the prediction of each target, of each network.
        counts: (num_targets,) how many times each target counts; None for once.

    Returns:
        Weight and slope of each network, as `Mixture` takes them.
    """
    p, h = torch.stack(list(log_p), 1).double(), torch.stack(list(entropies), 1).double()  # (num_targets, networks)
    share = torch.ones(len(p), dtype=torch.float64) if counts is None else counts.double()
    has_any = ~p.isneginf().all(1)
    p, h, share = p[has_any], h[has_any], share[has_any] / share[has_any].sum()
    start = torch.tensor(fit_weights(log_p, counts), dtype=torch.float64).log()
    settings = torch.stack([start, torch.zeros_like(start)]).requires_grad_()
    optimizer = torch.optim.LBFGS([settings], max_iter=_MAX_FITTING_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        result = -share @ (_log_weights(settings[0], settings[1], h) + p).logsumexp(1)
        result = result + _SLOPE_PENALTY * settings[1].square().sum()
        result.backward()  # type: ignore[no-untyped-call] # torch's own
        return result

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    weights, slopes = settings.detach()
    return weights.softmax(0).clamp(min=_MIN_WEIGHT).tolist(), slopes.tolist()


def log_weights_of(weights: list[float], slopes: list[float], entropies: Tensor) -> Tensor:
    """Compute the logarithms of the weights (..., networks), for predictions of these entropies (..., networks)."""
    log_weights, rates = torch.tensor([weights, slopes], dtype=torch.float64).unbind()
    return _log_weights(log_weights.log(), rates, entropies)


class Mixture(Network):
    """Predict the next token by a weighted mean of the probabilities of trained networks.

    `make` and `mix` make a mixture; `fit` trains its networks one by one.

    Args:
        vocab_size: Number of ids V, set from the data.
        networks: The networks.
        weights: Weight of each network; their sum is 1.
        entropy_slopes: Change of the logarithm of each network's weight per nat of its prediction's entropy; the
            weights are then divided by their sum. null for weights that never change.
        num_labels: Number of labels L, set from the data.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits, float64.

    Raises:
        UserError: If there is not one weight or slope per network, or the sum of the weights is not 1.
    """

    learning = None

    def __init__(
        self,
        vocab_size: int,
        networks: list[NetworkFactory],
        weights: list[PositiveFraction],
        entropy_slopes: list[Slope] | None = None,
        num_labels: int = 0,
    ) -> None:
        super().__init__()
        if len(weights) != len(networks) or abs(sum(weights) - 1) > 1e-6:
            raise UserError(f"Mixture has {len(networks)} networks and weights {weights}; give each one, with sum 1")
        if entropy_slopes is not None and len(entropy_slopes) != len(networks):
            raise UserError(f"Mixture has {len(networks)} networks and entropy_slopes {entropy_slopes}; give each one")
        self.num_labels = num_labels
        labels = {"num_labels": num_labels} if num_labels else {}
        self.networks = nn.ModuleList(network(vocab_size, **labels) for network in networks)
        self.weights = weights
        self.entropy_slopes = entropy_slopes
        self._state_sizes = [0] * len(networks)  # tensors in the state of each network

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.sequence_logits(x)

    @override
    def sequence_logits(self, x: Tensor) -> Tensor:
        return self._mean([network.sequence_logits(x) for network in self.members])

    @override
    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        rest, logits, states = state, [], list[Tensor]()
        for i, network in enumerate(self.members):
            size = self._state_sizes[i] if state else 0
            part_logits, part = network.advance(ids, rest[:size])
            rest = rest[size:]
            self._state_sizes[i] = len(part)
            logits.append(part_logits)
            states += part
        return self._mean(logits), tuple(states)

    @property
    @override
    def context(self) -> int | None:
        contexts = [network.context for network in self.members]
        return max((context for context in contexts if context is not None), default=None) if all(contexts) else None

    @property
    @override
    def members(self) -> list[Network]:
        return cast(list[Network], list(self.networks))

    def _mean(self, logits: list[Tensor]) -> Tensor:
        """Compute the logarithm of the weighted mean of the probabilities under logits (..., V)."""
        log_weights = torch.tensor(self.weights, dtype=torch.float64).log()
        parts = [each.cpu().double().log_softmax(-1) for each in logits]
        if self.entropy_slopes is not None:
            entropies = torch.stack([torch.special.entr(part.exp()).sum(-1) for part in parts], -1)
            log_weights = log_weights_of(self.weights, self.entropy_slopes, entropies)[..., None, :]
        log_p = torch.stack(parts, -1)  # (..., V, networks)
        return float64_at(logits[0].device, (log_p + log_weights).logsumexp(-1))
