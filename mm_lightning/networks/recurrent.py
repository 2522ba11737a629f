"""Recurrent networks: plain (Elman 1990), GRU (Cho et al. 2014) and LSTM (Hochreiter and Schmidhuber 1997).

Each is one of torch's kernels between an embedding and an output layer. The compiler cannot trace the kernels, so a
compiled step computes the same equations position by position. An exported program has a loop over positions.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from mm_lightning.data.ranges import Depth, Fraction, Size
from mm_lightning.networks.base import SequenceNetwork, State
from mm_lightning.networks.parts.bfloat16 import has_bfloat16
from mm_lightning.networks.parts.embeddings import TokenEmbedding

_MAX_PARTS = 4  # of a compiled batch; each has code of its own, which takes time to compile


class Recurrence(nn.Module, ABC):
    """Stacked recurrent layers of one kind of cell.

    Parameters have the names and the initialisation of `torch.nn.RNNBase`. That class itself cannot be compiled: its
    additional list of weights does not follow when a step is called with other weights.

    Args:
        input_dim: Width E of the input.
        hidden_dim: Width H of the state.
        num_layers: Number of layers.
        dropout: Fraction of the output of each layer but the last set to zero in training.
        weight_dropout: Fraction of the weights from state to state set to zero in training, the same ones at all
            positions (DropConnect; Merity et al. 2017, arXiv 1708.02182).

    Shape: x (B, T, E) and a state of `num_states` tensors (layers, B, H) -> (B, T, H) and the state after position T.
    """

    kernel: ClassVar[Callable[..., Any] | None] = None  # torch's function for all layers; None to call `cell` each time
    num_gates: ClassVar[int]  # weight matrices (H, H) of a layer, stacked
    num_states: ClassVar[int] = 1  # tensors of the state, the output first

    def __init__(self, input_dim: int, hidden_dim: int, num_layers: int, dropout: float, weight_dropout: float) -> None:
        super().__init__()
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.dropout = dropout
        self.weight_dropout = weight_dropout
        rows = self.num_gates * hidden_dim
        for layer in range(num_layers):
            shapes = [(rows, hidden_dim if layer else input_dim), (rows, hidden_dim), (rows,), (rows,)]
            for name, shape in zip(self._names(layer), shapes, strict=True):
                weight = nn.Parameter(torch.empty(shape))
                self.register_parameter(name, weight)
                nn.init.uniform_(weight, -(hidden_dim**-0.5), hidden_dim**-0.5)

    @staticmethod
    def _names(layer: int) -> list[str]:
        return [f"{name}_l{layer}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]

    def _weights(self, layer: int) -> list[Tensor]:
        weight_ih, weight_hh, *biases = (getattr(self, name) for name in self._names(layer))
        if self.weight_dropout:
            weight_hh = F.dropout(weight_hh, self.weight_dropout, self.training)
        return [weight_ih, weight_hh, *biases]

    @abstractmethod
    def cell(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        """Compute the state after one position.

        Args:
            from_input: (B, num_gates * H) product of the input and its weights.
            from_hidden: (B, num_gates * H) product of the previous output and its weights.
            state: `num_states` tensors (B, H), the previous output first.
        """

    @override
    def forward(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        state = state or (x.new_zeros(self.num_layers, x.shape[0], self.hidden_dim),) * self.num_states
        if torch.compiler.is_exporting():
            return self._scanned(x, state)
        if self.kernel is None or not self._can_use_kernel(x):
            return self._unrolled(x, state)
        weights = [weight for layer in range(self.num_layers) for weight in self._weights(layer)]
        start = state if self.num_states > 1 else state[0]
        dropout = self.dropout if self.num_layers > 1 else 0.0
        outputs, *after = self.kernel(x, start, weights, True, self.num_layers, dropout, self.training, False, True)
        return outputs, tuple(after)

    def _can_use_kernel(self, x: Tensor) -> bool:
        """Whether torch's function can compute `forward`."""
        return not torch.compiler.is_compiling()

    def _unrolled(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Compute `forward` cell by cell, with operations that the compiler can trace."""
        after = []
        for layer, layer_state in enumerate(zip(*state, strict=True)):
            weight_ih, weight_hh, bias_ih, bias_hh = self._weights(layer)
            current, outputs = layer_state, []
            for from_input in F.linear(x, weight_ih, bias_ih).unbind(1):
                current = self.cell(from_input, F.linear(current[0], weight_hh, bias_hh), current)
                outputs.append(current[0])
            after.append(current)
            x = torch.stack(outputs, 1)  # (B, T, H)
            if layer + 1 < self.num_layers:
                x = F.dropout(x, self.dropout, self.training)
        return x, tuple(map(torch.stack, zip(*after, strict=True)))

    def _scanned(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Compute `forward` in eval mode by a loop that stays a loop in an exported program, for any length."""
        from torch._higher_order_ops.scan import scan  # noqa: PLC0415 # imports the compiler, which takes seconds

        after = []
        for layer, layer_state in enumerate(zip(*state, strict=True)):
            weight_ih, weight_hh, bias_ih, bias_hh = self._weights(layer)

            def step(current: State, from_input: Tensor, weights: State = (weight_hh, bias_hh)) -> tuple[State, Tensor]:
                new = self.cell(from_input, F.linear(current[0], *weights), current)
                return new, new[0].clone()  # a loop may not hand out one tensor twice

            inputs = F.linear(x, weight_ih, bias_ih).transpose(0, 1)  # (T, B, num_gates * H)
            final, outputs = scan(step, layer_state, inputs)
            after.append(final)
            x = outputs.transpose(0, 1)  # (B, T, H)
        return x, tuple(map(torch.stack, zip(*after, strict=True)))


class RNNCells(Recurrence):
    """Plain cells: a tanh layer over input and previous output."""

    kernel = torch.rnn_tanh
    num_gates = 1

    @override
    def cell(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        return (torch.tanh(from_input + from_hidden),)


class GRUCells(Recurrence):
    """GRU cells: gates interpolate between the previous output and a candidate."""

    kernel = torch.gru
    num_gates = 3

    @override
    def cell(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        (hidden,) = state
        reset_in, update_in, candidate_in = from_input.chunk(3, 1)
        reset_hidden, update_hidden, candidate_hidden = from_hidden.chunk(3, 1)
        candidate = torch.tanh(candidate_in + torch.sigmoid(reset_in + reset_hidden) * candidate_hidden)
        return (candidate + torch.sigmoid(update_in + update_hidden) * (hidden - candidate),)


class LSTMCells(Recurrence):
    """LSTM cells: a memory with input, forget and output gates."""

    kernel = torch.lstm
    num_gates = 4
    num_states = 2

    @override
    def _can_use_kernel(self, x: Tensor) -> bool:
        is_bfloat16 = x.dtype == torch.bfloat16 or torch.is_autocast_enabled("cpu")
        fails = x.is_cpu and is_bfloat16 and not has_bfloat16()
        return not fails and super()._can_use_kernel(x)

    @override
    def cell(self, from_input: Tensor, from_hidden: Tensor, state: State) -> State:
        input_gate, forget_gate, candidate, output_gate = (from_input + from_hidden).chunk(4, 1)
        memory = torch.sigmoid(forget_gate) * state[1] + torch.sigmoid(input_gate) * torch.tanh(candidate)
        return torch.sigmoid(output_gate) * torch.tanh(memory), memory


class RecurrentNetwork(SequenceNetwork):
    """Predict the next token from a recurrent state; a subclass names the cells.

    Args:
        vocab_size: Number of ids V, set from the data.
        embed_dim: Width E of an embedding vector.
        hidden_dim: Width H of the state.
        num_layers: Number of stacked recurrent layers.
        embed_dropout: Fraction of the embedding set to zero in training.
        dropout: Fraction of each layer's output set to zero in training.
        weight_dropout: Fraction of the weights from state to state set to zero in training.
        num_labels: Number of labels L, set from the data.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    cells: ClassVar[type[Recurrence]]

    def __init__(
        self,
        vocab_size: int,
        embed_dim: Size = 64,
        hidden_dim: Size = 64,
        num_layers: Depth = 1,
        embed_dropout: Fraction = 0.0,
        dropout: Fraction = 0.0,
        weight_dropout: Fraction = 0.0,
        num_labels: int = 0,
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.embedding = TokenEmbedding(vocab_size, num_labels, embed_dim)
        self.embed_dropout = nn.Dropout(embed_dropout)
        self.recurrence = self.cells(embed_dim, hidden_dim, num_layers, dropout, weight_dropout)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, vocab_size)

    @property
    @override
    def max_parts(self) -> int:
        return 1 if self.recurrence.weight_dropout else _MAX_PARTS  # each call draws other weights

    @override
    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        before = tuple(tensor.transpose(0, 1).contiguous() for tensor in state)  # (B, layers, H) -> (layers, B, H)
        hidden, after = self.recurrence(self.embed_dropout(self.embedding(ids)), before)  # (B, T, H)
        return self.output(self.dropout(hidden)), tuple(tensor.transpose(0, 1) for tensor in after)


class RNN(RecurrentNetwork):
    """Predict the next token from a plain recurrent state (Elman 1990).

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    cells = RNNCells


class GRU(RecurrentNetwork):
    """Predict the next token from a state with reset and update gates (Cho et al. 2014).

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    cells = GRUCells


class LSTM(RecurrentNetwork):
    """Predict the next token from a state with a gated memory (Hochreiter and Schmidhuber 1997).

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    cells = LSTMCells
