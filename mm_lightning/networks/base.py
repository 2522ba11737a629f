"""The one interface of all networks.

Shape legend, here and everywhere: N windows, C context, B words, T positions, E embedding, H hidden, V vocabulary.

A network maps ids to logits. Training knows only `forward`, scoring only `word_logits`, sampling and export only
`next_logits`, so nothing outside this package asks which network it holds.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional as F

from mm_lightning.vocabulary import BOUNDARY


class Network(nn.Module, ABC):
    """Ids to logits of the next id; id 0 is the boundary at both ends of a word.

    A network that has an embedding table (V, E) calls it `embedding`: pictures look for it under that name.
    """

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """One training batch in the network's own layout."""

    @abstractmethod
    def word_logits(self, x: Tensor) -> Tensor:
        """Logits (B, T, V) at every position of words x (B, T), each beginning with a boundary."""

    @abstractmethod
    def next_logits(self, ids: Tensor) -> Tensor:
        """Logits (B, V) of what follows ids (B, T), each beginning with a boundary."""


class WindowNetwork(Network):
    """A network that sees a fixed window: `forward` is x (N, C) -> (N, V).

    Args:
        block_size: Context C in characters, at least 1.

    Raises:
        ValueError: If the context is empty.
    """

    def __init__(self, block_size: int) -> None:
        super().__init__()
        if block_size < 1:
            raise ValueError(f"block_size is {block_size}; a window needs at least 1 character of context")
        self.block_size = block_size

    def word_logits(self, x: Tensor) -> Tensor:
        """Logits (B, T, V): the windows of each word are exactly those it gives in training."""
        windows = F.pad(x, (self.block_size - 1, 0), value=BOUNDARY).unfold(1, self.block_size, 1)  # (B, T, C)
        return self(windows.flatten(0, 1)).unflatten(0, x.shape)  # type: ignore[no-any-return]

    def next_logits(self, ids: Tensor) -> Tensor:
        """Logits (B, V) from the last C ids."""
        window = ids[:, -self.block_size :]
        return self(F.pad(window, (self.block_size - window.shape[1], 0), value=BOUNDARY))  # type: ignore[no-any-return]
