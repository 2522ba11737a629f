"""The loss of a batch, its means over steps and over a split, and the negative log-likelihood (NLL) of items."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mm_lightning import UserError
from mm_lightning.data.batches import ItemBatches
from mm_lightning.data.encoding import IGNORE, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks.base import Network

NOT_NUMBERS = "the network's logits are no numbers: its weights are too large or not finite, as after diverged training"

# Times the loss of the untrained network, or of a uniform guess where that is higher: a mean above this has diverged.
# Too high learning rates reached 30 nats and more in 200 steps, from 3.3; the lecture's bad initialisation starts at 27
# and only falls. Over-fitting raises val/loss, but not the training loss.
DIVERGENCE_FACTOR = 5


def cross_entropy(logits: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Compute the NLL in nats of targets y (...) under logits (..., V), without padded targets.

    Args:
        logits: (N, V) or (B, T, V), of any precision; the sum is taken in float32 or better.
        y: (N,) or (B, T) int64; or (N, V) or (B, T, V), probabilities that a teacher gives each id, for the mean alone.
        reduction: `mean` or `sum` over the targets, or `none` for one value per target, flat.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if y.is_floating_point():
        return -(y * logits.log_softmax(-1)).sum() / num_targets(y)
    return F.cross_entropy(logits.flatten(0, -2), y.flatten(), ignore_index=IGNORE, reduction=reduction)


def num_targets(y: Tensor) -> Tensor:
    """Count the targets () of y, of either kind, without padded ones."""
    return y.sum() if y.is_floating_point() else (y >= 0).sum()


def item_nll(network: Network, x: Tensor, y: Tensor) -> Tensor:
    """Compute the NLL (B,) in nats of each item, including its closing boundary.

    Args:
        network: The network, in eval mode.
        x: (B, T) as `PaddedItems` gathers it.
        y: (B, T) as `PaddedItems` gathers it.
    """
    return cross_entropy(network.sequence_logits(x), y, reduction="none").view_as(y).sum(1)


@torch.no_grad()
def score(network: Network, vocabulary: Vocabulary, items: Items) -> Tensor:
    """Compute the NLL (num_items,) in nats of each item, on the CPU.

    Raises:
        UserError: If a character is not in the vocabulary, or the network's logits are NaN.
        RuntimeError: If the network is in train mode.
    """
    if network.training:
        raise RuntimeError("the network is in train mode, which would score with dropout; call eval() first")
    encoded = encode(items, vocabulary).to(network.device)
    result = torch.empty(len(items))
    for x, y, indices in ItemBatches(encoded, torch.arange(len(items), device=network.device)):
        result[indices.cpu()] = item_nll(network, x, y).float().cpu()
    if result.isnan().any():
        raise UserError(NOT_NUMBERS)
    return result


@torch.no_grad()
def predictions(network: Network, batches: ItemBatches) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Compute all predictions of targets, batch by batch, on the CPU.

    Args:
        network: The network, in eval mode.
        batches: Batches of items, with tags (num_items, ...).

    Yields:
        Log-probabilities (num_targets, V) float64 of all ids, the targets (num_targets,), and the tags of each target's
        item (num_targets, ...).
    """
    for x, y, item_tags in batches:
        is_target = y >= 0  # (B, T)
        log_p = network.sequence_logits(x)[is_target].cpu().double().log_softmax(-1)
        yield log_p, y[is_target].cpu(), item_tags.repeat_interleave(is_target.sum(1), 0).cpu()


def target_log_p(network: Network, batches: ItemBatches) -> Tensor:
    """Compute the log-probability (num_targets,) float64 of each target; arguments and order as for `predictions`."""
    return torch.cat([log_p.gather(1, y[:, None]).squeeze(1) for log_p, y, _ in predictions(network, batches)])


def score_by_label(network: Network, vocabulary: Vocabulary, items: Items, num_labels: int) -> Tensor:
    """Compute the NLL (num_items, L) in nats of each item given each label, on the CPU; raises as `score` does."""
    given = (replace(items, labels=np.full(len(items), label, np.int32)) for label in range(num_labels))
    return torch.stack([score(network, vocabulary, labelled) for labelled in given], 1)


def posterior(nll: Tensor, counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Compute the NLL of items over all labels, and the probabilities of the labels, by Bayes' rule.

    Args:
        nll: (num_items, L) NLL of each item given each label.
        counts: How often the training items have each label, the prior.

    Returns:
        NLL (num_items,) float64, and probabilities (num_items, L) float64, the prior for an impossible item.
    """
    prior = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    joint = prior.log() - nll.double()
    is_impossible = joint.isneginf().all(1, keepdim=True)  # of unsmoothed counts, whatever the label
    return -joint.logsumexp(1), torch.where(is_impossible, prior, joint.softmax(1))


_MOST_PENDING = 1000  # tensors of some hundred bytes


class RunningLoss:
    """Mean of the training losses since the last point of the curve, summed in double precision on the CPU.

    Args:
        num_ids: Number of ids V, which a uniform guess chooses from.
    """

    def __init__(self, num_ids: int) -> None:
        self.uniform = math.log(num_ids)
        self._first: float | None = None  # of the first step, by the untrained network
        self._pending: list[Tensor] = []  # losses on their device, which are in the count and not yet in the sum
        self._sum = 0.0
        self._count = 0
        self._point = math.nan

    def add(self, loss: Tensor | float) -> None:
        """Add the loss of a step; a tensor () stays on its device, so that no step but the first waits for it."""
        if self._first is None:
            self._first = float(loss)
        self._count += 1
        if isinstance(loss, Tensor):
            self._pending.append(loss)
            if len(self._pending) == _MOST_PENDING:
                self._total()
        else:
            self._sum += loss

    def _total(self) -> float:
        """The sum of all losses since the last point, one by one, so that no call of this changes its rounding."""
        if self._pending:
            for loss in torch.stack(self._pending).tolist():
                self._sum += loss
            self._pending = []
        return self._sum

    def mean(self) -> float:
        """The mean of all losses since the last point, or the last point if there are none; NaN if unknown."""
        return self._total() / self._count if self._count else self._point

    def take_mean(self) -> Tensor:
        """The mean () of all losses since the last point, in float64; it becomes the last point."""
        self._point = self.mean()
        self._sum, self._count = 0.0, 0
        return torch.tensor(self._point, dtype=torch.float64)

    @property
    def is_divergent(self) -> bool:
        """Whether the mean is far above the losses of the untrained network and of a uniform guess."""
        return self.mean() > DIVERGENCE_FACTOR * max(self._first or 0.0, self.uniform)

    def state_dict(self, gather: Callable[[Tensor], Tensor]) -> dict[str, Any]:
        """Sums and number of the losses since the last point, and the loss of the first step.

        Args:
            gather: Maps a value of each rank to those of all ranks.
        """
        sums = gather(torch.tensor(self._total(), dtype=torch.float64))
        return {"sum": sums.mean(), "sums": sums, "count": self._count, "first": self._first}

    def load_state_dict(self, state: dict[str, Any], rank: int = 0, world_size: int = 1) -> None:
        """Restore the rank's sum, or the mean of all where their number has changed.

        Version 0.1 saved no loss of the first step.
        """
        self._pending = []
        total = state["sums"][rank] if len(state["sums"]) == world_size else state["sum"]
        self._sum, self._count, self._first = float(total), state["count"], state.get("first")
