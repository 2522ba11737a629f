"""Items as compact tensors, and training examples gathered from them when a batch is built.

An item is stored as its ids and one closing boundary, so each position of the stream is the target of exactly one
window. The ids before the position are its context. A boundary inside the context marks where the item begins, so
windows need no offsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary

_MAX_PRINTED_ROWS = 20
IGNORE = -100  # target of a padded position; the default of torch's cross_entropy


@dataclass(frozen=True)
class EncodedItems:
    """Items as ids, end to end.

    Args:
        stream: (num_targets,) uint8, or int32 for more than 256 ids: the ids of each item and a boundary.
        lengths: (num_items,) int32, ids of each item, without the boundary.
        vocab_size: Number of ids V.
        weights: (num_items,) int64, how many times each item counts; None for once each.
        labels: (num_items,) int64, number of each item's label; None without labels.
        soft_targets: (num_targets, V) float16, probabilities that training aims at in place of the ids; None without a
            teacher.
    """

    stream: Tensor
    lengths: Tensor
    vocab_size: int
    weights: Tensor | None = None
    labels: Tensor | None = None
    soft_targets: Tensor | None = None

    @cached_property
    def starts(self) -> Tensor:
        """(num_items,) int64, the position of each item's first id in the stream."""
        return (self.lengths + 1).cumsum(0) - (self.lengths + 1)

    @property
    def reach(self) -> Tensor:
        """(T,) float64, share of the items that have an id or a boundary at each position of the longest one."""
        counts = self.lengths.bincount(self.weights)
        return counts.flip(0).cumsum(0).flip(0).double() / counts.sum()

    def to(self, device: torch.device) -> "EncodedItems":
        """Copy the items to a device."""
        optional = (self.weights, self.labels, self.soft_targets)
        columns = (None if column is None else column.to(device) for column in optional)
        return EncodedItems(self.stream.to(device), self.lengths.to(device), self.vocab_size, *columns)


def encode(items: Items, vocabulary: Vocabulary) -> EncodedItems:
    """Encode items as a stream of ids with closing boundaries.

    Raises:
        UserError: If a character is not in the vocabulary.
    """
    ids, counts = vocabulary.encode(items)
    lengths = counts.astype(np.int32)
    del counts  # for ten million items each int64 array is as large as the stream
    boundaries = np.cumsum(lengths + 1)
    boundaries -= 1
    stream = np.full(len(ids) + len(items), BOUNDARY, ids.dtype)
    is_id = np.ones(len(stream), bool)
    is_id[boundaries] = False
    stream[is_id] = ids
    weights = None if items.weights is None else torch.from_numpy(items.weights)
    labels = None if items.labels is None else torch.from_numpy(items.labels).long()
    return EncodedItems(torch.from_numpy(stream), torch.from_numpy(lengths), len(vocabulary), weights, labels)


def tagged(items: Items, is_seen: NDArray[np.bool_]) -> Tensor:
    """Make the tags (num_items, 3) int64 of items: whether the train split has an item, its weight, its label."""
    weights = np.ones(len(items), np.int64) if items.weights is None else items.weights
    labels = np.zeros(len(items), np.int64) if items.labels is None else items.labels
    return torch.from_numpy(np.stack([is_seen, weights, labels], 1).astype(np.int64))


class Examples(Protocol):
    """Numbered training examples, inputs and targets, on one device.

    With labels, an input is label * V + token, and a target is a token.
    """

    has_one_shape: bool  # every example has the same shape, so several batches can be gathered at once
    device: torch.device
    weights: Tensor | None  # (num_examples,) how many times each example counts; None for once each

    def __len__(self) -> int: ...
    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gather inputs x and targets y of the examples with numbers `rows` (n,); y is int64, or soft targets."""
        ...


def _label_offsets(items: EncodedItems) -> Tensor | None:
    """Return label * V (num_items,), which labels add to each id of an input."""
    return None if items.labels is None else items.labels * items.vocab_size


class Windows:
    """One example per target: the `block_size` ids before the target, left-padded with boundaries.

    Args:
        items: The items, on the device of the batches.
        block_size: Context C in ids.
    """

    has_one_shape = True

    def __init__(self, items: EncodedItems, block_size: int) -> None:
        self.device = items.stream.device
        self.weights = None if items.weights is None else items.weights.repeat_interleave(items.lengths + 1)
        self.block_size = block_size
        self._soft_targets = items.soft_targets
        self._offsets = _label_offsets(items)
        if self._offsets is not None:  # of each target
            self._offsets = self._offsets.repeat_interleave(items.lengths + 1)
        stream = F.pad(items.stream, (block_size, 0), value=BOUNDARY)
        self._spans = stream.unfold(0, block_size + 1, 1)  # (num_targets, C + 1), a view

    def __len__(self) -> int:
        return len(self._spans)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gather x (n, C) and y (n,), or y (n, V) with soft targets, of the examples with numbers `rows` (n,)."""
        spans = self._spans.index_select(0, rows)
        for i in reversed(range(self.block_size - 1)):  # ids left of a boundary belong to earlier items
            spans[:, i] *= spans[:, i + 1] != BOUNDARY
        x, y = spans[:, :-1].long(), spans[:, -1].long()
        if self._soft_targets is not None:
            y = self._soft_targets.index_select(0, rows).float()
        return (x if self._offsets is None else x + self._offsets[rows, None]), y


@dataclass(frozen=True)
class WindowRows:
    """Windows and the tokens that follow them, printed one per line as in the lectures.

    Args:
        x: (N, C) int64, ids of the windows.
        y: (N,) int64, ids of the next tokens.
        symbols: Symbol of each id; the boundary is a dot.
    """

    x: Tensor
    y: Tensor
    symbols: Sequence[str]

    def __len__(self) -> int:
        return len(self.y)

    @override
    def __repr__(self) -> str:
        pairs = zip(self.x[:_MAX_PRINTED_ROWS].tolist(), self.y[:_MAX_PRINTED_ROWS].tolist(), strict=True)
        lines = [f"{''.join(self.symbols[i] for i in window)} --> {self.symbols[target]}" for window, target in pairs]
        more = len(self) - _MAX_PRINTED_ROWS
        return "\n".join([*lines, *([f"and {more:,} more"] if more > 0 else [])])


class PaddedItems:
    """One example per item: x is a boundary and the item, y is the item and a boundary.

    Args:
        items: The items, on the device of the batches.
    """

    has_one_shape = False  # batches gathered together would share the width of their longest item

    def __init__(self, items: EncodedItems) -> None:
        self.device = items.stream.device
        self.weights = items.weights
        self.items = items
        self._offsets = _label_offsets(items)

    def __len__(self) -> int:
        return len(self.items.starts)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Gather x (B, T) and y (B, T) of the items `rows` (B,), padded with boundaries and with IGNORE.

        With soft targets y is (B, T, V), padded with zeros.
        """
        starts, lengths = self.items.starts[rows, None], self.items.lengths[rows, None]
        positions = torch.arange(int(lengths.max()) + 1, device=self.device)  # (T,)
        places = (starts + positions).clamp(max=len(self.items.stream) - 1)  # (B, T)
        ids, is_target = self.items.stream[places].long(), positions <= lengths
        y = ids.where(is_target, IGNORE)
        if self.items.soft_targets is not None:
            y = self.items.soft_targets[places].float() * is_target[..., None]
        x = F.pad(ids.where(positions < lengths, BOUNDARY)[:, :-1], (1, 0), value=BOUNDARY)
        return (x if self._offsets is None else x + self._offsets[rows, None]), y
