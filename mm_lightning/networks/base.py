"""The one interface of all networks: ids to logits.

Shape legend of the package: N windows, C context, B items, T positions, E embedding, H hidden, V vocabulary, L labels.

Id 0 is the boundary, which stands at both ends of an item. There are two kinds of network:

- window networks, `forward(x)`: (N, C) -> (N, V), the logits of the id after each window of C ids;
- sequence networks, `forward(x)`: (B, T) -> (B, T, V), the logits of the id after each position.

Items with labels: an id that a network reads is label * V + token, in [0, L * V), so the label is in view at every
position. Targets are tokens, in [0, V).

Training calls `forward`, and for batches in parts `max_parts` and `read_parts`; scoring calls `sequence_logits`;
sampling calls `advance_function` and `window_table`; export calls `context`, `advance`, `next_logits`, `members` and
`window_table`. Code outside this folder asks at most for a network's kind: window, sequence, counted or mixture.

`torch.export` traces `advance` for files of other programs, with a batch and a length of any size. So a network takes
sizes from `x.shape[0]` and not from `len(x)`, which would fix the size to that of the example.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from mm_lightning.data.ranges import Context
from mm_lightning.networks.parts.unique_windows import unique_windows
from mm_lightning.networks.parts.window_table import WindowTable

State = tuple[Tensor, ...]  # a network's summary of the ids read so far, one row per item; () before the first id
AdvanceFunction = Callable[[Tensor, State], tuple[Tensor, State]]
_MAX_TABLE_ELEMENTS = 1 << 24  # 128 MiB of float64


class Part(NamedTuple):
    """Positions `start` to `stop` of the first `rows` items of a batch."""

    rows: int
    start: int
    stop: int


class Network(nn.Module, ABC):
    """A map from ids to the logits of the next id.

    A network with an embedding table (V, E) names the table `embedding`; plots use the name. A network that can read
    labels has an argument `num_labels` of its constructor, and sets the attribute.

    Attributes:
        learning: How `fit` trains the network; None for a network that is made of trained ones.
        num_labels: Number of labels L that the network reads; 0 for items without labels.
    """

    learning: Literal["gradient", "counting"] | None = "gradient"
    num_labels: int = 0

    @property
    def device(self) -> torch.device:
        """Device of the parameters and buffers."""
        return next(chain(self.parameters(), self.buffers())).device

    @property
    def num_parameters(self) -> int:
        """Number of learned weights and of counts."""
        counts = (buffer for name, buffer in self.named_buffers() if name.rpartition(".")[2] == "counts")
        return sum(values.numel() for values in chain(self.parameters(), counts))

    def multiply_adds(self, num_targets: float) -> float:
        """Estimate the multiply-adds of a training step: of its predictions, and twice as many of its gradients.

        Args:
            num_targets: Number of targets in a step, padding included.
        """
        return 3 * self.num_parameters * num_targets

    @property
    def embedding_table(self) -> Tensor | None:
        """Rows (V, E) of the submodule `embedding`; None for a network without one."""
        embedding = getattr(self, "embedding", None)
        return embedding.weight if isinstance(embedding, nn.Embedding) else None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits of a training batch: (N, C) -> (N, V) or (B, T) -> (B, T, V)."""

    @abstractmethod
    def sequence_logits(self, x: Tensor) -> Tensor:
        """Compute the logits (B, T, V) at every position of items x (B, T), which begin with a boundary."""

    @abstractmethod
    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Read further ids and compute the logits of the next id.

        Args:
            ids: (B, T), T at least 1. With the empty state, every row begins with a boundary.
            state: State after the ids before, or (). Its rows may be selected or repeated together with the items.

        Returns:
            Logits (B, V) of the id after `ids`, and the new state.
        """

    def next_logits(self, ids: Tensor) -> Tensor:
        """Compute the logits (B, V) of the id after ids (B, T), which begin with a boundary."""
        return self.advance(ids, ())[0]

    @property
    def context(self) -> int | None:
        """Number of last ids that the logits depend on; None for all ids."""
        return None

    @property
    def members(self) -> list["Network"]:
        """Networks that this one is made of."""
        return []

    def window_table(self, transform: Callable[[Tensor], Tensor], vocab_size: int) -> WindowTable | None:
        """Make a table of the transformed logits of all windows, or None where the table would be too large.

        Args:
            transform: Maps logits (B, V) to (B, V) float64 on the CPU, row by row.
            vocab_size: Number of ids V.
        """
        if self.context is None or vocab_size ** (self.context + 1) > _MAX_TABLE_ELEMENTS:
            return None
        return WindowTable(lambda x: transform(self.next_logits(x.to(self.device))), vocab_size, self.context)

    def advance_function(self, transform: Callable[[Tensor], Tensor], vocab_size: int) -> AdvanceFunction:
        """Make a function like `advance` that takes ids on the CPU and returns transformed logits.

        The function computes each window once where `window_table` has room for all windows. Arguments as for
        `window_table`.
        """
        table = self.window_table(transform, vocab_size)
        if table is not None:
            return table.advance

        def advance(ids: Tensor, state: State) -> tuple[Tensor, State]:
            logits, state = self.advance(ids.to(self.device), state)
            return transform(logits), state

        return advance


class WindowNetwork(Network):
    """A network that sees a window of C ids.

    Args:
        block_size: Context C in tokens.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits.
    """

    def __init__(self, block_size: Context) -> None:
        super().__init__()
        self.block_size = block_size

    @override
    def sequence_logits(self, x: Tensor) -> Tensor:
        windows = _padded(x, self.block_size - 1).unfold(1, self.block_size, 1)  # (B, T, C)
        unique, inverse = unique_windows(windows.flatten(0, 1))  # of 2,000 names, four in five windows are repeats
        return self(unique)[inverse].unflatten(0, x.shape)  # type: ignore[no-any-return]

    @override
    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        before = state or (ids[:, :1].expand(-1, self.block_size),)  # the boundary, with the item's label
        window = torch.cat([*before, ids], 1)[:, -self.block_size :]  # (B, C)
        return self(window), (window,)

    @property
    @override
    def context(self) -> int:
        return self.block_size


def _padded(ids: Tensor, count: int) -> Tensor:
    """Pad ids (B, T) on the left with the first id of each row, which is the boundary, with the item's label."""
    return torch.cat([ids[:, :1].expand(-1, count), ids], 1)


def float64_at(device: torch.device, logits: Tensor) -> Tensor:
    """Move float64 logits of the CPU to a device, in float32 where it is another one: MPS has no float64."""
    return logits if device.type == "cpu" else logits.float().to(device)


class SequenceNetwork(Network):
    """A network that reads whole items; every position has a target.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    @abstractmethod
    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """Compute the logits (B, T, V) after each of ids (B, T), which follow the ids of the state; and a new state."""

    @property
    def max_parts(self) -> int | None:
        """Number of parts in which training may read a batch, as if it were read at once; None for any number."""
        return 1

    def read_parts(self, x: Tensor, parts: Sequence[Part]) -> Tensor:
        """Compute the logits (P, V) of all P positions in parts of items x (B, T), part by part.

        The parts hold ever fewer items, and each begins at the position where the one before it stops.
        """
        logits = []
        state: State = ()
        for rows, start, stop in parts:
            own, state = self.read(x[:rows, start:stop], tuple(tensor[:rows] for tensor in state))
            logits.append(own.flatten(0, 1))
        return torch.cat(logits)

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.read(x, ())[0]  # causal, so padding behind an item changes no logits before the padding

    @override
    def sequence_logits(self, x: Tensor) -> Tensor:
        return self(x)  # type: ignore[no-any-return]

    @override
    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        logits, state = self.read(ids, state)
        return logits[:, -1], state
