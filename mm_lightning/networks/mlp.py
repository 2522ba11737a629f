"""The multi-layer perceptron of Bengio et al. 2003 on characters.

A neural probabilistic language model, JMLR 3 (2003) 1137-1155, without the direct connections from embeddings to
output, as the lectures have it. Weights start as torch's layers start them: the lecture's own start, standard normal
everywhere, spends its first thousand steps on shrinking logits.
"""

import torch
from torch import Tensor, nn

from mm_lightning.networks.base import WindowNetwork


class MLP(WindowNetwork):
    """Predict the next character from a fixed window (Bengio et al. 2003).

    Each character of the window picks a row of one shared table; the rows, end to end, pass one tanh layer.

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.
        block_size: Context C in characters.
        embed_dim: Width E of a table row.
        hidden_dim: Width H of the tanh layer.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits.
    """

    def __init__(self, vocab_size: int, block_size: int = 3, embed_dim: int = 10, hidden_dim: int = 200) -> None:
        super().__init__(block_size)
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.hidden = nn.Linear(block_size * embed_dim, hidden_dim)
        self.output = nn.Linear(hidden_dim, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, V) of windows x (N, C)."""
        embedded = self.embedding(x).flatten(1)  # (N, C * E)
        return self.output(torch.tanh(self.hidden(embedded)))  # type: ignore[no-any-return]
