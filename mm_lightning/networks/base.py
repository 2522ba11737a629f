"""The one interface of all networks.

Shape legend, here and everywhere: N windows, C context, B words, T positions, E embedding, H hidden, V vocabulary.

A network maps ids to logits. Training knows only `forward`, scoring only `sequence_logits`, sampling only `reader` and
`table`, export only `next_logits`, so nothing outside this package asks which network it holds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.window_table import WindowTable

State = tuple[Tensor, ...]  # what a network keeps of the ids it has read, one word a row; () before the first
Advance = Callable[[Tensor, State], tuple[Tensor, State]]
_TABLE = 1 << 24  # most numbers in a table of windows, 128 MiB


class Network(nn.Module, ABC):
    """Ids to logits of the next id; id 0 is the boundary at both ends of a word.

    A network that has an embedding table (V, E) calls it `embedding`: pictures look for it under that name.
    """

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(chain(self.parameters(), self.buffers())).device

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """One training batch in the network's own layout."""

    @abstractmethod
    def sequence_logits(self, x: Tensor) -> Tensor:
        """Logits (B, T, V) at every position of words x (B, T), each beginning with a boundary."""

    @abstractmethod
    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Read on: logits (B, V) of what follows ids (B, T), which follow those in the state, and the new state.

        The first ids of all begin with a boundary. Rows of a state can be dropped or repeated as words are.
        """

    def next_logits(self, ids: Tensor) -> Tensor:
        """Logits (B, V) of what follows ids (B, T), each beginning with a boundary."""
        return self.advance(ids, ())[0]

    @property
    def context(self) -> int | None:
        """How many of the last ids the logits depend on; None for all."""
        return None

    def table(self, function: Callable[[Tensor], Tensor], vocab_size: int) -> WindowTable | None:
        """A function of the logits behind every window of C ids; None where there is no room for all windows.

        Args:
            function: Makes of logits (B, V), each row by itself, numbers (B, V) in float64 on the CPU.
            vocab_size: Number of ids V.
        """
        if self.context is None or vocab_size ** (self.context + 1) > _TABLE:
            return None
        return WindowTable(lambda x: function(self.next_logits(x.to(self.device))), vocab_size, self.context)

    def reader(self, function: Callable[[Tensor], Tensor], vocab_size: int) -> Advance:
        """`advance` for many words, from ids on the CPU to a function of the logits; arguments as for `table`.

        Each window is computed once where a table of all has room.
        """
        table = self.table(function, vocab_size)
        if table is not None:
            return table.advance

        def advance(ids: Tensor, state: State) -> tuple[Tensor, State]:
            logits, state = self.advance(ids.to(self.device), state)
            return function(logits), state

        return advance


class WindowNetwork(Network):
    """A network that sees a fixed window: `forward` is x (N, C) -> (N, V).

    Args:
        block_size: Context C in characters, at least 1.

    Raises:
        UserError: If the context is empty.
    """

    def __init__(self, block_size: int) -> None:
        super().__init__()
        if block_size < 1:
            raise UserError(f"block_size is {block_size}; a window needs at least 1 character of context")
        self.block_size = block_size

    def sequence_logits(self, x: Tensor) -> Tensor:
        """Logits (B, T, V): the windows of each word are exactly those it gives in training.

        Each window is computed once, however often it occurs: of those of 2,000 names, four in five are repeats.
        """
        windows = F.pad(x, (self.block_size - 1, 0), value=BOUNDARY).unfold(1, self.block_size, 1)  # (B, T, C)
        distinct, places = _distinct(windows.flatten(0, 1))
        return self(distinct)[places].unflatten(0, x.shape)  # type: ignore[no-any-return]

    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """As the base says; the state is the window so far, (B, at most C)."""
        window = torch.cat([*state, ids], 1)[:, -self.block_size :]
        return self(F.pad(window, (self.block_size - window.shape[1], 0), value=BOUNDARY)), (window,)

    @property
    def context(self) -> int:
        """As the base says."""
        return self.block_size


def _distinct(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Different windows (D, C) of windows (N, C), and which of them each is (N,)."""
    places = windows.new_zeros(len(windows))
    for column in windows.unbind(1):  # numbers that stay small, whatever C and V
        values, places = torch.unique(places * (column.max() + 1) + column, return_inverse=True)
    rows = torch.empty_like(values).scatter_(0, places, torch.arange(len(places), device=places.device))
    return windows[rows], places


class CountedNetwork(WindowNetwork):
    """A window network that is fitted in closed form: it counts every example once, and has no gradient."""

    @abstractmethod
    def count(self, x: Tensor, y: Tensor) -> None:
        """Add examples, windows x (N, C) and what follows them y (N,), to what has been counted."""


class SequenceNetwork(Network):
    """A network that reads whole words, every position a target: `forward` is x (B, T) -> (B, T, V)."""

    @abstractmethod
    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Logits (B, T, V) after each of ids (B, T), which follow those in the state, and the new state."""

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, T, V) of words x (B, T); padding behind a word changes nothing before it."""
        return self.read(x, ())[0]

    def sequence_logits(self, x: Tensor) -> Tensor:
        """As `forward`."""
        return self(x)  # type: ignore[no-any-return]

    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """As the base says."""
        logits, state = self.read(ids, state)
        return logits[:, -1], state


class PositionEmbedding(nn.Embedding):
    """A learned vector (E,) for each place in a word; places beyond the table share its last row."""

    def forward(self, places: Tensor) -> Tensor:
        """Vectors (..., E) of places (...), counted from 0."""
        return super().forward(places.clamp(max=self.num_embeddings - 1))
