"""Items as tensors: one byte an id at rest, four where there are over 256, examples gathered when a batch is built.

Every word is stored as its ids and one closing boundary. So each place of the stream is the target of exactly one
example, the window before it is the context, and a boundary inside the window tells where the word begins: windows
need no offsets at all.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary

IGNORE = -100  # target of a padded position, as torch's cross_entropy has it


@dataclass(frozen=True)
class EncodedItems:
    """Items as ids.

    Args:
        stream: (S,) uint8, or int32 for more than 256 ids: each word's ids and a boundary, end to end.
        lengths: (W,) int32, ids of each word.
        vocab_size: Number of ids V.
    """

    stream: Tensor
    lengths: Tensor
    vocab_size: int

    @cached_property
    def starts(self) -> Tensor:
        """(W,) int64, where each word begins in the stream."""
        return (self.lengths + 1).cumsum(0) - (self.lengths + 1)

    def to(self, device: torch.device) -> "EncodedItems":
        """The same words on another device."""
        return EncodedItems(self.stream.to(device), self.lengths.to(device), self.vocab_size)


def encode(words: Items, vocabulary: Vocabulary) -> EncodedItems:
    """Encode words.

    Raises:
        UserError: If a character is not in the vocabulary.
    """
    ids, counts = vocabulary.encode(words)
    lengths = counts.astype(np.int32)
    del counts  # where there are ten million words, each such array is as large as the stream
    ends = np.cumsum(lengths + 1)
    ends -= 1
    stream = np.full(len(ids) + len(words), BOUNDARY, ids.dtype)
    is_id = np.ones(len(stream), bool)
    is_id[ends] = False
    stream[is_id] = ids
    return EncodedItems(torch.from_numpy(stream), torch.from_numpy(lengths), len(vocabulary))


class Examples(Protocol):
    """What a network trains on: a numbered set of inputs and targets on one device."""

    has_one_shape: bool  # whether every example has the same shape, so that batches can be gathered together
    device: torch.device

    def __len__(self) -> int: ...
    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs x and targets y of these examples, int64."""
        ...


class Windows:
    """Every prefix of every word as one example: the `block_size` ids before a target, left-padded with boundaries.

    Args:
        words: The words, on the device where batches are wanted.
        block_size: Context C in ids.
    """

    has_one_shape = True

    def __init__(self, words: EncodedItems, block_size: int) -> None:
        self.device = words.stream.device
        self.block_size = block_size
        stream = F.pad(words.stream, (block_size, 0), value=BOUNDARY)
        self._spans = stream.unfold(0, block_size + 1, 1)  # (S, C + 1), a view

    def __len__(self) -> int:
        return len(self._spans)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """X (n, C) and y (n,) of examples `rows` (n,)."""
        spans = self._spans.index_select(0, rows)
        for i in reversed(range(self.block_size - 1)):  # what lies left of a boundary belongs to the words before
            spans[:, i] *= spans[:, i + 1] != BOUNDARY
        return spans[:, :-1].long(), spans[:, -1].long()


class PaddedItems:
    """Every word as one example: x is the word after a boundary, y the word before one, both padded to the longest.

    Args:
        words: The words, on the device where batches are wanted.
    """

    has_one_shape = False  # batches gathered together would all be as wide as their longest item

    def __init__(self, words: EncodedItems) -> None:
        self.device = words.stream.device
        self.words = words

    def __len__(self) -> int:
        return len(self.words.starts)

    def gather(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """X (n, T) padded with boundaries and y (n, T) padded with IGNORE."""
        starts, lengths = self.words.starts[rows, None], self.words.lengths[rows, None]
        places = torch.arange(int(lengths.max()) + 1, device=self.device)
        ids = self.words.stream[(starts + places).clamp(max=len(self.words.stream) - 1)].long()  # (n, T)
        y = ids.where(places <= lengths, IGNORE)
        x = F.pad(ids.where(places < lengths, BOUNDARY)[:, :-1], (1, 0), value=BOUNDARY)
        return x, y
