"""Mean of networks: most useful where the networks differ in kind, such as counts and a recurrent network.

The geometric mean multiplies their probabilities, each to the power of the network's weight (Klakow 1998, log-linear
interpolation of language models). It has lower losses than the arithmetic mean, which adds them, but one network that
calls an id impossible nearly decides for all.
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
MIN_WEIGHT = 0.01  # a network below it changes no digit of the loss that people see, and costs as much as the others
_MIN_LOG_P = -30.0  # a network cannot rule out an id: the others may have seen what it has not


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


def fit_powers(log_p: Tensor, targets: Tensor, counts: Tensor) -> list[float]:
    """Find the weights with which a geometric mean is most likely; there is one maximum.

    Args:
        log_p: (num_targets, V, networks) log-probabilities of all ids where a target was held out.
        targets: (num_targets,) the ids that came.
        counts: (num_targets,) how many times each target counts.

    Returns:
        Weight of each network, at most 1; 0 for one that is better left out.
    """
    log_p, share = log_p.clamp(min=_MIN_LOG_P), counts.double() / counts.sum()
    powers = [1 / log_p.shape[2]] * log_p.shape[2]
    free = list(range(len(powers)))  # the others are at a bound
    while free:
        at_bound = [i for i in range(len(powers)) if i not in free]
        rest = log_p[..., at_bound] @ torch.tensor([powers[i] for i in at_bound], dtype=log_p.dtype)
        for i, power in zip(free, _fit_free(log_p[..., free], rest, targets, share), strict=True):
            powers[i] = power
        least, most = min(free, key=powers.__getitem__), max(free, key=powers.__getitem__)
        if powers[most] > 1:
            powers[most] = 1.0
            free.remove(most)
        elif powers[least] < MIN_WEIGHT and len(powers) - powers.count(0.0) > 1:
            powers[least] = 0.0
            free.remove(least)
        else:
            break
    return powers


def _fit_free(log_p: Tensor, rest: Tensor, targets: Tensor, share: Tensor) -> list[float]:
    """Find the weights of some networks beside the others' weighted log-probabilities `rest` (num_targets, V)."""
    powers = torch.full((log_p.shape[2],), 1 / log_p.shape[2], dtype=log_p.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([powers], max_iter=_MAX_FITTING_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        powers.grad = None
        own = (log_p @ powers + rest).log_softmax(1).gather(1, targets[:, None]).squeeze(1)
        result = -share @ own.double()
        result.backward()  # type: ignore[no-untyped-call] # torch's own
        return result

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return powers.tolist()


def geometric_mean(log_p: Tensor, powers: Tensor) -> Tensor:
    """Compute the log-probabilities (..., V) of the geometric mean of networks.

    Args:
        log_p: (..., V, networks) log-probabilities.
        powers: (networks,) weights.
    """
    return (log_p.clamp(min=_MIN_LOG_P) @ powers).log_softmax(-1)


class Mixture(Network):
    """Predict the next token by a mean of the probabilities of trained networks.

    `make` and `mix` make a mixture; `fit` trains its networks one by one.

    Args:
        vocab_size: Number of ids V, set from the data.
        networks: The networks.
        weights: Weight of each network; the sum is 1 in an arithmetic mean.
        entropy_slopes: Of an arithmetic mean, the change of the logarithm of each network's weight per nat of its
            prediction's entropy; the weights are then divided by their sum. null for weights that never change.
        num_labels: Number of labels L, set from the data.
        geometric: Whether the mean is geometric.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits, float64.

    Raises:
        UserError: If there is not one weight or slope per network, the sum of the weights of an arithmetic mean is not
            1, or a geometric mean has slopes.
    """

    learning = None

    def __init__(
        self,
        vocab_size: int,
        networks: list[NetworkFactory],
        weights: list[PositiveFraction],
        entropy_slopes: list[Slope] | None = None,
        num_labels: int = 0,
        geometric: bool = False,
    ) -> None:
        super().__init__()
        if len(weights) != len(networks) or not (geometric or abs(sum(weights) - 1) <= 1e-6):
            raise UserError(f"Mixture has {len(networks)} networks and weights {weights}; give each one, with sum 1")
        if geometric and entropy_slopes is not None:
            raise UserError("Mixture has entropy_slopes, which a geometric mean does not heed; leave them out")
        if entropy_slopes is not None and len(entropy_slopes) != len(networks):
            raise UserError(f"Mixture has {len(networks)} networks and entropy_slopes {entropy_slopes}; give each one")
        self.num_labels = num_labels
        labels = {"num_labels": num_labels} if num_labels else {}
        self.networks = nn.ModuleList(network(vocab_size, **labels) for network in networks)
        self.weights = weights
        self.entropy_slopes = entropy_slopes
        self.geometric = geometric
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
        """Compute the logarithm of the mean of the probabilities under logits (..., V)."""
        log_p = torch.stack([each.cpu().double().log_softmax(-1) for each in logits], -1)  # (..., V, networks)
        weights = torch.tensor(self.weights, dtype=torch.float64)
        if self.geometric:
            return float64_at(logits[0].device, geometric_mean(log_p, weights))
        log_weights = weights.log()
        if self.entropy_slopes is not None:  # of mixtures made before there was the geometric mean
            entropies = torch.special.entr(log_p.exp()).sum(-2)  # (..., networks)
            slopes = torch.tensor(self.entropy_slopes, dtype=torch.float64)
            log_weights = (log_weights + slopes * entropies).log_softmax(-1)[..., None, :]
        return float64_at(logits[0].device, (log_p + log_weights).logsumexp(-1))
