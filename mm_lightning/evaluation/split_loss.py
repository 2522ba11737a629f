"""Exact mean losses over the items of a split."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

BY_LABEL = "loss_of_label_"  # before the name of a label, in the name of a measure


class SplitLoss:
    """Mean losses per target over a split: of all items, of the items that the train split lacks, and of each label.

    The means weight each item by its targets times its weight. With labels, a loss is that of items given their labels.
    Sums are float64 on the CPU, since not every device has float64.

    Args:
        labels: Names of the labels.
    """

    def __init__(self, labels: Sequence[str] = ()) -> None:
        self.labels = labels
        self._forget()

    def _forget(self) -> None:
        # weighted losses and weights, of all items, of the items that the train split lacks, and of each label
        self._sums = torch.zeros(2 + len(self.labels), 2, dtype=torch.float64)

    def update(self, nll: Tensor, num_targets: Tensor, tags: Tensor) -> None:
        """Add a batch of items.

        Args:
            nll: (B,) NLL of each item in nats.
            num_targets: (B,) targets of each item.
            tags: (B, 3) int64, of `tagged`: whether the train split has an item, its weight, its label.
        """
        is_seen, weights, labels = tags.cpu().unbind(1)
        items = torch.stack([nll.cpu().double() * weights, (num_targets.cpu() * weights).double()], 1)  # (B, 2)
        self._sums[0] += items.sum(0)
        self._sums[1] += items[is_seen == 0].sum(0)
        for number in range(len(self.labels)):
            self._sums[2 + number] += items[labels == number].sum(0)

    def take(self, total: Callable[[Tensor], Tensor] = lambda sums: sums) -> dict[str, Tensor]:
        """Compute the measures by name, and start anew; a measure of no items is left out.

        Args:
            total: Adds up the sums of all processes.
        """
        sums = total(self._sums)
        self._forget()
        loss, unseen, *by_label = (sums[:, 0] / sums[:, 1]).unbind()  # NaN where there are no items
        measures = {"loss": loss, "perplexity": loss.exp(), "bits_per_char": loss / math.log(2)}
        parts = {
            "loss_unseen": unseen,
            **{f"{BY_LABEL}{name}": x for name, x in zip(self.labels, by_label, strict=True)},
        }
        return measures | {name: value for name, value in parts.items() if not value.isnan()}
