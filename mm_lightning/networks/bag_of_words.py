"""Bag of words: attention with equal weights, as in makemore between the MLP and attention.

Compared with a bigram the network sees all earlier tokens, but hardly their order.
"""

import torch
from torch import Tensor, nn
from typing_extensions import override

from mm_lightning.data.ranges import Size
from mm_lightning.networks.base import SequenceNetwork, State
from mm_lightning.networks.parts.embeddings import PositionEmbedding, TokenEmbedding


class BagOfWords(SequenceNetwork):
    """Network that predicts the next token from the mean of all tokens so far.

    Args:
        vocab_size: Number of ids V, set from the data.
        embed_dim: Width E of an embedding vector and of the mean.
        hidden_dim: Width H of the tanh layer behind the mean.
        num_positions: Positions with a vector of their own; later positions share the last vector.
        num_labels: Number of labels L, set from the data.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: Size = 64,
        hidden_dim: Size = 64,
        num_positions: Size = 32,
        num_labels: int = 0,
    ) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.embedding = TokenEmbedding(vocab_size, num_labels, embed_dim)
        self.positions = PositionEmbedding(num_positions, embed_dim)
        self.hidden = nn.Sequential(nn.Linear(embed_dim, hidden_dim), nn.Tanh(), nn.Linear(hidden_dim, embed_dim))
        self.output = nn.Linear(embed_dim, vocab_size)

    @override
    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        weight, num_items = self.embedding.weight, ids.shape[0]
        start = weight.new_zeros(num_items, weight.shape[1]), ids.new_zeros(num_items, 1)
        total, count = state or start  # sum (B, E) of the vectors read so far, and their number (B, 1)
        positions = count + torch.arange(ids.shape[1], device=ids.device)  # (B, T)
        x = self.embedding(ids) + self.positions(positions)  # (B, T, E)
        sums = total[:, None] + x.cumsum(1)
        x = x + sums / (positions + 1)[..., None]
        x = x + self.hidden(x)
        return self.output(x), (sums[:, -1], count + ids.shape[1])
