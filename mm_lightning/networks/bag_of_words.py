"""Bag of words: the past as a plain average, as makemore has it between the MLP and attention.

Attention whose weights are all equal; what it gains over a bigram is the past without much of its order.
"""

import torch
from torch import Tensor, nn

from mm_lightning.networks.base import PositionEmbedding, SequenceNetwork, State


class BagOfWords(SequenceNetwork):
    """Predict each next character from the mean of all so far.

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.
        embed_dim: Width E of the table rows and of the mean.
        hidden_dim: Width H of the tanh layer behind it.
        num_positions: Places with a vector of their own; those beyond share the last.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    def __init__(self, vocab_size: int, embed_dim: int = 64, hidden_dim: int = 64, num_positions: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.positions = PositionEmbedding(num_positions, embed_dim)
        self.hidden = nn.Sequential(nn.Linear(embed_dim, hidden_dim), nn.Tanh(), nn.Linear(hidden_dim, embed_dim))
        self.output = nn.Linear(embed_dim, vocab_size)

    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """As the base says; the state is the sum (B, E) of what was read and how much (B, 1)."""
        start = self.embedding.weight.new_zeros(len(ids), self.embedding.embedding_dim), ids.new_zeros(len(ids), 1)
        total, count = state or start
        places = count + torch.arange(ids.shape[1], device=ids.device)  # (B, T)
        x = self.embedding(ids) + self.positions(places)  # (B, T, E)
        sums = total[:, None] + x.cumsum(1)
        x = x + sums / (places + 1)[..., None]
        x = x + self.hidden(x)
        return self.output(x), (sums[:, -1], count + ids.shape[1])
