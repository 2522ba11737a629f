"""Exact mean losses over the items of a split."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics import MeanMetric

from mm_lightning.evaluation.loss import exact_mean

BY_LABEL = "loss_of_label_"  # before the name of a label, in the name of a measure


class SplitLoss(nn.Module):
    """Mean losses per target over a split: of all items, of the items that the train split lacks, and of each label.

    The means weight each item by its targets times its weight. With labels, a loss is that of items given their labels.

    Args:
        labels: Names of the labels.
    """

    def __init__(self, labels: Sequence[str] = ()) -> None:
        super().__init__()
        self.every = exact_mean()
        self.unseen = exact_mean()
        self.labels = labels
        self.by_label = nn.ModuleList(exact_mean() for _ in labels)

    def update(self, nll: Tensor, num_targets: Tensor, tags: Tensor) -> None:
        """Add a batch of items.

        Args:
            nll: (B,) NLL of each item in nats.
            num_targets: (B,) targets of each item.
            tags: (B, 3) int64, of `tagged`: whether the train split has an item, its weight, its label.
        """
        is_seen, weights, labels = tags.unbind(1)
        means, weights = nll / num_targets, num_targets * weights
        is_unseen = is_seen == 0
        self.every.update(means, weights)
        self.unseen.update(means[is_unseen], weights[is_unseen])
        for number, metric in enumerate(self.by_label):
            assert isinstance(metric, MeanMetric)
            metric.update(means[labels == number], weights[labels == number])

    def take(self) -> dict[str, Tensor]:
        """Compute the measures by name, and start anew; a measure of no items is left out."""
        loss, unseen, *by_label = map(_take, (self.every, self.unseen, *self.by_label))
        measures = {"loss": loss, "perplexity": loss.exp(), "bits_per_char": loss / math.log(2)}
        parts = {
            "loss_unseen": unseen,
            **{f"{BY_LABEL}{name}": x for name, x in zip(self.labels, by_label, strict=True)},
        }
        return measures | {name: value for name, value in parts.items() if not value.isnan()}


def _take(metric: Any) -> Tensor:
    """Compute a mean, and start anew."""
    result: Tensor = metric.compute()
    metric.reset()
    return result
