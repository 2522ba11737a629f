"""Held-out losses: each model is judged on items that it has not learned from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mm_lightning.data.batches import ItemBatches, every_example
from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.splits import shuffled_order
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import target_log_p
from mm_lightning.make.recipe import MIN_HELD_OUT_ITEMS, num_folds
from mm_lightning.networks import PitmanYor
from mm_lightning.networks.base import Network

_MAX_HELD_OUT_ITEMS = 5_000
_MAX_JUDGED_ITEMS = 100_000  # of a longer list, a random part


@dataclass(frozen=True)
class Fold:
    """A part of a list to learn from, and a part to be judged on."""

    train: Items
    held_out: Items


def folds(items: Items) -> list[Fold]:
    """Cut different items into folds.

    Args:
        items: At least 2 items.
    """
    shuffled = shuffled_order(len(items))[:_MAX_JUDGED_ITEMS]
    num_parts = num_folds(len(shuffled))
    if num_parts == 1:
        size = min(len(shuffled) // 10 + MIN_HELD_OUT_ITEMS // 2, _MAX_HELD_OUT_ITEMS)
        return [Fold(items.take(shuffled[size:]), items.take(shuffled[:size]))]
    parts = np.array_split(shuffled, num_parts)
    rests = [np.concatenate([*parts[:i], *parts[i + 1 :]]) for i in range(num_parts)]
    return [Fold(items.take(rest), items.take(part)) for rest, part in zip(rests, parts, strict=True)]


def count(items: Items, vocabulary: Vocabulary, block_size: int) -> PitmanYor:
    """Count all items; the network is in eval mode."""
    network = PitmanYor(len(vocabulary), block_size)
    for part in every_example(Windows(encode(items, vocabulary), block_size)):
        network.count(*part)
    return network.eval()


def held_out(parts: list[Fold], vocabulary: Vocabulary, learn: Callable[[Items], Network]) -> Tensor:
    """Compute the log-probabilities (num_targets,) of all held-out targets, each by the model of its fold."""

    def of_fold(part: Fold) -> Tensor:
        batches = ItemBatches(encode(part.held_out, vocabulary), torch.arange(len(part.held_out)))
        return target_log_p(learn(part.train), batches)

    return torch.cat([of_fold(part) for part in parts])


def mixed(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Log-probabilities (num_targets,) of the mixture with this weight of the first model."""
    return torch.logaddexp(first + np.log(weight), second + np.log1p(-weight))
