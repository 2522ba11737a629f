"""What a model makes of words: the loss, once, and sums of it."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mm_lightning.data.batches import ItemBatches
from mm_lightning.data.encoding import IGNORE, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks.base import Network


def cross_entropy(logits: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Negative log-likelihood in nats of targets y (...) under logits (..., V), padded targets left out.

    Logits of any layout and precision; the sum is taken in float32 or better.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits.flatten(0, -2), y.flatten(), ignore_index=IGNORE, reduction=reduction)


def item_nll(network: Network, x: Tensor, y: Tensor) -> Tensor:
    """Negative log-likelihood (B,) in nats of each word, its closing boundary included; x and y as in PaddedItems."""
    return cross_entropy(network.sequence_logits(x), y, reduction="none").view_as(y).sum(1)


@torch.no_grad()
def score(network: Network, vocabulary: Vocabulary, words: Items) -> Tensor:
    """Negative log-likelihood (W,) in nats of each word, on the CPU.

    Raises:
        UserError: If a character is not in the vocabulary.
    """
    assert not network.training, "scoring needs eval mode"
    encoded = encode(words, vocabulary).to(network.device)
    result = torch.empty(len(words))
    for x, y, places in ItemBatches(encoded, torch.arange(len(words))):
        result[places] = item_nll(network, x, y).float().cpu()
    return result
