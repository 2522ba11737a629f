"""Recurrent networks: plain (Elman 1990), GRU (Cho et al. 2014) and LSTM (Hochreiter and Schmidhuber 1997).

All three are torch's own kernels between an embedding and an output layer, and differ in nothing else. The kernels are
closed to the compiler, so a compiled step computes the same equations position by position.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm_lightning.networks.base import SequenceNetwork, State


class Recurrence(nn.Module, ABC):
    """Layers of one kind of cell, their weights named and started as those of `torch.nn.RNNBase`.

    That class itself cannot be compiled: it keeps its weights in a list besides, which a step as a function cannot
    follow.

    Args:
        input_dim: Width E of what is read.
        hidden_dim: Width H of the state.
        num_layers: Layers, one on the other.
        dropout: Share of every layer's output but the last's that is zeroed in training, in [0, 1).

    Shape: x (B, T, E), state of `num_states` parts (layers, B, H) -> (B, T, H), state after the last position.
    """

    kernel: ClassVar[Callable[..., Any]]
    num_gates: ClassVar[int]
    num_states: ClassVar[int] = 1

    def __init__(self, input_dim: int, hidden_dim: int, num_layers: int, dropout: float) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.dropout = dropout
        rows = self.num_gates * hidden_dim
        for layer in range(num_layers):
            shapes = [(rows, hidden_dim if layer else input_dim), (rows, hidden_dim), (rows,), (rows,)]
            for name, shape in zip(self._names(layer), shapes, strict=True):
                weight = nn.init.uniform_(torch.empty(shape), -(hidden_dim**-0.5), hidden_dim**-0.5)
                self.register_parameter(name, nn.Parameter(weight))

    @staticmethod
    def _names(layer: int) -> list[str]:
        return [f"{name}_l{layer}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def _weights(self, layer: int) -> list[Tensor]:
        return [getattr(self, name) for name in self._names(layer)]

    @abstractmethod
    def cell(self, fed: Tensor, own: Tensor, state: State) -> State:
        """State after a position, the output first, from the gates' sums (B, gates * H) over input and own output."""

    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Outputs (B, T, H) for x (B, T, E), and the state after the last."""
        state = state or (x.new_zeros(self.num_layers, len(x), self.hidden_dim),) * self.num_states
        if torch.compiler.is_compiling():
            return self._unrolled(x, state)
        weights = [weight for layer in range(self.num_layers) for weight in self._weights(layer)]
        start = state if self.num_states > 1 else state[0]
        dropout = self.dropout if self.num_layers > 1 else 0.0
        outputs, *after = self.kernel(x, start, weights, True, self.num_layers, dropout, self.training, False, True)
        return outputs, tuple(after)

    def _unrolled(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """As `forward`, in operations that a compiler can join."""
        after = []
        for layer, start in enumerate(zip(*state, strict=True)):
            weight_ih, weight_hh, bias_ih, bias_hh = self._weights(layer)
            parts, outputs = start, []
            for fed in F.linear(x, weight_ih, bias_ih).unbind(1):
                parts = self.cell(fed, F.linear(parts[0], weight_hh, bias_hh), parts)
                outputs.append(parts[0])
            after.append(parts)
            x = torch.stack(outputs, 1)
            if layer + 1 < self.num_layers:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(map(torch.stack, zip(*after, strict=True)))


class RNNCells(Recurrence):
    """A state that is replaced at every step."""

    kernel = torch.rnn_tanh
    num_gates = 1

    def cell(self, fed: Tensor, own: Tensor, state: State) -> State:
        """As the base says."""
        return (torch.tanh(fed + own),)


class GRUCells(Recurrence):
    """A state between which and a fresh one two gates decide."""

    kernel = torch.gru
    num_gates = 3

    def cell(self, fed: Tensor, own: Tensor, state: State) -> State:
        """As the base says."""
        (hidden,) = state
        (fed_reset, fed_update, fed_fresh), (own_reset, own_update, own_fresh) = fed.chunk(3, 1), own.chunk(3, 1)
        fresh = torch.tanh(fed_fresh + torch.sigmoid(fed_reset + own_reset) * own_fresh)
        return (fresh + torch.sigmoid(fed_update + own_update) * (hidden - fresh),)


class LSTMCells(Recurrence):
    """An output, and a memory that gates write, keep and show."""

    kernel = torch.lstm
    num_gates = 4
    num_states = 2

    def cell(self, fed: Tensor, own: Tensor, state: State) -> State:
        """As the base says."""
        write, keep, fresh, show = (fed + own).chunk(4, 1)
        memory = torch.sigmoid(keep) * state[1] + torch.sigmoid(write) * torch.tanh(fresh)
        return torch.sigmoid(show) * torch.tanh(memory), memory


class Recurrent(SequenceNetwork):
    """Predict each next character from a state that is carried along the word.

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.
        embed_dim: Width E of a row of the embedding table.
        hidden_dim: Width H of the state.
        num_layers: Recurrent layers, one on the other.
        embed_dropout: Share of the embedding that is zeroed in training, in [0, 1).
        dropout: Share of every layer's output that is zeroed in training, in [0, 1).

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    cells: ClassVar[type[Recurrence]]

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int = 64,
        hidden_dim: int = 64,
        num_layers: int = 1,
        embed_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.embed_dropout = nn.Dropout(embed_dropout)
        self.recurrence = self.cells(embed_dim, hidden_dim, num_layers, dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, vocab_size)

    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """As the base says; the state is that of the cells, (B, layers, H), twice for an LSTM."""
        before = tuple(part.transpose(0, 1).contiguous() for part in state)  # (layers, B, H)
        hidden, after = self.recurrence(self.embed_dropout(self.embedding(ids)), before)
        return self.output(self.dropout(hidden)), tuple(part.transpose(0, 1) for part in after)


class RNN(Recurrent):
    """Predict each next character from a state that is replaced at every step (Elman 1990)."""

    cells = RNNCells


class GRU(Recurrent):
    """Predict each next character from a state that two gates update (Cho et al. 2014)."""

    cells = GRUCells


class LSTM(Recurrent):
    """Predict each next character from a state and a gated memory (Hochreiter and Schmidhuber 1997)."""

    cells = LSTMCells
