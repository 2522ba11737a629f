"""A hierarchical network after WaveNet (van den Oord et al. 2016, arXiv:1609.03499), as in the lectures.

The MLP squeezes the whole window into one layer. Here each level joins neighbouring positions in pairs, by a layer with
batch normalisation.
"""

from torch import Tensor, nn
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import Context, Size
from mm_lightning.networks.base import WindowNetwork
from mm_lightning.networks.parts.embeddings import TokenEmbedding


class JoinPairs(nn.Module):
    """One level: joins two neighbouring positions by a normalised tanh layer.

    Args:
        width: Features D of a position.
        hidden_dim: Features H of a position of the next level.

    Shape: x (N, C, D) -> (N, C / 2, H).
    """

    def __init__(self, width: int, hidden_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * width, hidden_dim, bias=False)  # the normalisation has a bias
        self.norm = nn.BatchNorm1d(hidden_dim)
        self.activation = nn.Tanh()

    @override
    def forward(self, x: Tensor) -> Tensor:
        joined = self.linear(x.reshape(x.shape[0], -1, 2 * x.shape[2]))  # (N, C / 2, H)
        normalised = self.norm(joined.flatten(0, 1)).view_as(joined)  # statistics over windows and positions
        return self.activation(normalised)  # type: ignore[no-any-return]


class WaveNet(WindowNetwork):
    """Predict the next token from a window that is joined pair by pair, as a binary tree.

    Args:
        vocab_size: Number of ids V, set from the data.
        block_size: Context C in tokens, a power of 2, at least 2.
        embed_dim: Width E of an embedding vector.
        hidden_dim: Width H of every level.
        num_labels: Number of labels L, set from the data.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits.

    Raises:
        UserError: If the context is not a power of 2.
    """

    def __init__(
        self,
        vocab_size: int,
        block_size: Context = 8,
        embed_dim: Size = 24,
        hidden_dim: Size = 128,
        num_labels: int = 0,
    ) -> None:
        super().__init__(block_size)
        num_levels = block_size.bit_length() - 1
        if block_size < 2 or block_size != 1 << num_levels:
            raise UserError(f"block_size is {block_size}; a tree of pairs needs a power of 2, such as 8")
        self.num_labels = num_labels
        self.embedding = TokenEmbedding(vocab_size, num_labels, embed_dim)
        widths = [embed_dim] + [hidden_dim] * (num_levels - 1)
        self.levels = nn.Sequential(*(JoinPairs(width, hidden_dim) for width in widths))
        self.output = nn.Linear(hidden_dim, vocab_size)

    @override
    def forward(self, x: Tensor) -> Tensor:
        joined = self.levels(self.embedding(x))  # (N, 1, H)
        return self.output(joined.flatten(1))  # type: ignore[no-any-return]
