"""The loss of a batch, and the negative log-likelihood (NLL) of items."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mm_lightning.data.batches import ItemBatches
from mm_lightning.data.encoding import IGNORE, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks.base import Network


def cross_entropy(logits: Tensor, y: Tensor, reduction: str = "mean") -> Tensor:
    """Compute the NLL in nats of targets y (...) under logits (..., V), without padded targets.

    Args:
        logits: (N, V) or (B, T, V), of any precision; the sum is taken in float32 or better.
        y: (N,) or (B, T) int64.
        reduction: `mean` or `sum` over the targets, or `none` for one value per target, flat.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits.flatten(0, -2), y.flatten(), ignore_index=IGNORE, reduction=reduction)


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
        UserError: If a character is not in the vocabulary.
        RuntimeError: If the network is in train mode.
    """
    if network.training:
        raise RuntimeError("the network is in train mode, which would score with dropout; call eval() first")
    encoded = encode(items, vocabulary).to(network.device)
    result = torch.empty(len(items))
    for x, y, indices in ItemBatches(encoded, torch.arange(len(items))):
        result[indices] = item_nll(network, x, y).float().cpu()
    return result
