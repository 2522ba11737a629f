"""Embeddings of tokens, labels and positions."""

from torch import Tensor, nn
from typing_extensions import override


class TokenEmbedding(nn.Embedding):
    """A learned vector (E,) per token, plus one per label if there are labels.

    Args:
        vocab_size: Number of ids V.
        num_labels: Number of labels L; with 0 this is torch's embedding.
        embed_dim: Width E.

    Shape: ids (...) int64 in [0, L V) -> (..., E).
    """

    def __init__(self, vocab_size: int, num_labels: int, embed_dim: int) -> None:
        super().__init__(vocab_size, embed_dim)
        self.labels = nn.Embedding(num_labels, embed_dim) if num_labels else None

    @override
    def forward(self, ids: Tensor) -> Tensor:
        if self.labels is None:
            return super().forward(ids)
        return super().forward(ids % self.num_embeddings) + self.labels(ids // self.num_embeddings)  # type: ignore[no-any-return]

    @property
    def rows(self) -> Tensor:
        """The vector of each id: (L V, E), or (V, E) without labels."""
        return self.weight if self.labels is None else (self.weight + self.labels.weight[:, None]).flatten(0, 1)


class PositionEmbedding(nn.Embedding):
    """A learned vector (E,) per position in an item; positions beyond the table share the last vector.

    Shape: positions (...) int64, from 0 -> (..., E).
    """

    @override
    def forward(self, positions: Tensor) -> Tensor:
        return super().forward(positions.clamp(max=self.num_embeddings - 1))
