"""Held-out losses: each model is judged on items that it has not learned from."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mm_lightning.data.batches import ItemBatches, every_example
from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.splits import SPLIT_SEED
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import PitmanYor
from mm_lightning.networks.base import Network

_NUM_FOLDS = 5
_MIN_HELD_OUT_ITEMS = 300  # enough to judge by one fold alone
_MAX_HELD_OUT_ITEMS = 5_000
_MAX_JUDGED_ITEMS = 100_000  # of a longer list, a random part
_NUM_MIXING_STEPS = 100


@dataclass(frozen=True)
class Fold:
    """A part of a list to learn from, and a part to be judged on."""

    train: Items
    held_out: Items


def folds(items: Items) -> list[Fold]:
    """Cut different items into folds: 5 of a short list, so that each item is held out once, and 1 of a long list.

    Args:
        items: At least 2 items.
    """
    order = list(range(len(items)))
    random.Random(SPLIT_SEED).shuffle(order)
    shuffled = np.asarray(order[:_MAX_JUDGED_ITEMS])
    num_folds = min(_NUM_FOLDS, len(shuffled))
    if len(shuffled) // num_folds >= _MIN_HELD_OUT_ITEMS:
        size = min(len(shuffled) // 10 + _MIN_HELD_OUT_ITEMS // 2, _MAX_HELD_OUT_ITEMS)
        return [Fold(items.take(shuffled[size:]), items.take(shuffled[:size]))]
    parts = np.array_split(shuffled, num_folds)
    rests = [np.concatenate([*parts[:i], *parts[i + 1 :]]) for i in range(num_folds)]
    return [Fold(items.take(rest), items.take(part)) for rest, part in zip(rests, parts, strict=True)]


def count(items: Items, vocabulary: Vocabulary, block_size: int) -> PitmanYor:
    """Count all items; the network is in eval mode."""
    network = PitmanYor(len(vocabulary), block_size)
    for part in every_example(Windows(encode(items, vocabulary), block_size)):
        network.count(*part)
    return network.eval()


@torch.no_grad()
def log_probabilities(network: Network, vocabulary: Vocabulary, items: Items) -> Tensor:
    """Compute the log-probability (num_targets,) float64 of each target of the items, in a fixed order."""
    batches = ItemBatches(encode(items, vocabulary), torch.arange(len(items)))
    losses: Iterator[Tensor] = (
        cross_entropy(network.sequence_logits(x), y, reduction="none")[y.flatten() >= 0].double() for x, y, _ in batches
    )
    return -torch.cat(list(losses))


def held_out(parts: list[Fold], vocabulary: Vocabulary, learn: Callable[[Items], Network]) -> Tensor:
    """Compute the log-probabilities (num_targets,) of all held-out targets, each by the model of its fold."""
    return torch.cat([log_probabilities(learn(part.train), vocabulary, part.held_out) for part in parts])


def mixing_weight(first: Tensor, second: Tensor) -> float:
    """Find the weight of the first model that maximises the likelihood of the mixture.

    Expectation maximisation, whose likelihood has one maximum here.

    Args:
        first: (num_targets,) log-probabilities of the first model.
        second: (num_targets,) those of the second.
    """
    weight, ratio = 0.5, (second - first).exp()
    for _ in range(_NUM_MIXING_STEPS):
        weight = float((weight / (weight + (1 - weight) * ratio)).mean())
    return weight


def mixed(first: Tensor, second: Tensor, weight: float) -> Tensor:
    """Log-probabilities (num_targets,) of the mixture with this weight of the first model."""
    return torch.logaddexp(first + np.log(weight), second + np.log1p(-weight))
