"""Exact mean losses over the items of a split."""

import math

from torch import Tensor, nn

from mm_lightning.evaluation.loss import exact_mean


class SplitLoss(nn.Module):
    """Mean losses per target over a split: of all items, and of the items that the train split lacks.

    The means weight each item by its targets times its weight.
    """

    def __init__(self) -> None:
        super().__init__()
        self.every = exact_mean()
        self.unseen = exact_mean()

    def update(self, nll: Tensor, num_targets: Tensor, tags: Tensor) -> None:
        """Add a batch of items.

        Args:
            nll: (B,) NLL of each item in nats.
            num_targets: (B,) targets of each item.
            tags: (B, 2) int64, as the datamodule tags an item: whether the train split has it, and its weight.
        """
        is_seen, weights = tags.unbind(1)
        means, weights = nll / num_targets, num_targets * weights
        is_unseen = is_seen == 0
        self.every.update(means, weights)
        self.unseen.update(means[is_unseen], weights[is_unseen])

    def take(self) -> dict[str, Tensor]:
        """Compute the measures by name, and start anew; without unseen items, there is no `loss_unseen`."""
        loss, unseen = self.every.compute(), self.unseen.compute()
        self.every.reset()
        self.unseen.reset()
        measures = {"loss": loss, "perplexity": loss.exp(), "bits_per_char": loss / math.log(2)}
        return measures if unseen.isnan() else {**measures, "loss_unseen": unseen}
