"""Batches of items of different lengths in one shape, with little padding.

A compiled step has one shape for all batches. Sorted by length, a batch has fewer items at each further position. So a
step reads the first positions of all rows, then the next ones of fewer rows, and so on.
"""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm_lightning.data.encoding import IGNORE
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.base import Network, Part, SequenceNetwork

_MARGIN = 4  # standard deviations: one batch of some ten thousand has more long items


def parts_of(network: Network, reach: Tensor, batch_size: int) -> list[Part]:
    """Choose the parts in which a network reads a batch: the more rows, the more items have these positions.

    Args:
        network: The network; one that cannot read in parts gets a single one.
        reach: (T,) share of the items that have a target at each position.
        batch_size: Items of a batch B.
    """
    if not isinstance(network, SequenceNetwork) or network.max_parts == 1 or _has_later_forward(network):
        return [Part(batch_size, 0, len(reach))]
    most = batch_size * reach + _MARGIN * (batch_size * reach * (1 - reach)).sqrt()
    unit = -(-batch_size // (network.max_parts or batch_size))
    rows = ((most / unit).ceil() * unit).clamp(max=batch_size).int().tolist()
    parts, start = [], 0
    for num_rows, positions in itertools.groupby(rows):
        stop = start + len(list(positions))
        parts.append(Part(num_rows, start, stop))
        start = stop
    return parts


def _has_later_forward(network: SequenceNetwork) -> bool:
    """Whether a subclass of the class that says how to read parts has a `forward` of its own, which parts pass over."""
    forward, parts = (
        next(kind for kind in type(network).__mro__ if name in vars(kind)) for name in ("forward", "max_parts")
    )
    return not issubclass(parts, forward)


def stack(xs: Sequence[Tensor], ys: Sequence[Tensor], parts: Sequence[Part]) -> tuple[Tensor, Tensor, list[bool]]:
    """Stack n batches of padded items for these parts.

    Returns:
        x (n, B, T), y (n, B, T) or (n, B, T, V), the longest items first; and whether the parts have each batch whole.
    """
    width = parts[-1].stop
    x = torch.stack([F.pad(x, (0, width - x.shape[1]), value=BOUNDARY) for x in xs])
    if ys[0].is_floating_point():
        y = torch.stack([F.pad(y, (0, 0, 0, width - y.shape[1])) for y in ys])
        lengths = (y.sum(-1) > 0).sum(-1)
    else:
        y = torch.stack([F.pad(y, (0, width - y.shape[1]), value=IGNORE) for y in ys])
        lengths = (y >= 0).sum(-1)  # (n, B)
    order = torch.argsort(lengths, dim=1, descending=True, stable=True)
    batch = torch.arange(len(x))[:, None]
    is_whole = torch.ones(len(x), dtype=torch.bool)
    for part in parts:
        is_whole &= (lengths > part.start).sum(1) <= part.rows
    return x[batch, order], y[batch, order], is_whole.tolist()


class PartReader(nn.Module):
    """A network that reads a training batch in parts.

    Args:
        network: The network.
        parts: The parts; none for a batch of windows.

    Shape: x and y of a batch -> logits and targets of the parts, (N, V) and (N,) or (N, V).
    """

    def __init__(self, network: Network, parts: Sequence[Part]) -> None:
        super().__init__()
        self.network = network
        self._parts = parts

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits of the targets in all parts."""
        if len(self._parts) < 2:
            return self.network(x), y
        assert isinstance(self.network, SequenceNetwork)
        targets = [y[:rows, start:stop].flatten(0, 1) for rows, start, stop in self._parts]
        return self.network.read_parts(x, self._parts), torch.cat(targets)
