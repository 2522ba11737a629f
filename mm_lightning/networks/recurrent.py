"""Recurrent networks: plain (Elman 1990), GRU (Cho et al. 2014) and LSTM (Hochreiter and Schmidhuber 1997).

All three are torch's own kernels between an embedding and an output layer, and differ in nothing else.
"""

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from mm_lightning.networks.base import State, WordNetwork


class Recurrent(WordNetwork):
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

    kernel: ClassVar[Callable[..., nn.RNNBase]]

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
        self.recurrence = self.kernel(
            embed_dim, hidden_dim, num_layers, batch_first=True, dropout=dropout if num_layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden_dim, vocab_size)

    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """As the base says; the state is the kernel's, (B, layers, H), twice for an LSTM."""
        before = tuple(part.transpose(0, 1).contiguous() for part in state)  # (layers, B, H)
        start = before if len(before) == 2 else next(iter(before), None)  # as torch wants it: a pair, one or none
        hidden, after = self.recurrence(self.embed_dropout(self.embedding(ids)), start)
        after = after if isinstance(after, tuple) else (after,)
        return self.output(self.dropout(hidden)), tuple(part.transpose(0, 1) for part in after)


class RNN(Recurrent):
    """Predict each next character from a state that is replaced at every step (Elman 1990)."""

    kernel = nn.RNN


class GRU(Recurrent):
    """Predict each next character from a state that two gates update (Cho et al. 2014)."""

    kernel = nn.GRU


class LSTM(Recurrent):
    """Predict each next character from a state and a gated memory (Hochreiter and Schmidhuber 1997)."""

    kernel = nn.LSTM
