"""The Transformer in the form of GPT-2 (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019).

Layers normalise before they compute, positions are learned, and weights start as GPT-2's: normal with deviation 0.02,
smaller on the way back into the residual stream.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.base import PositionEmbedding, SequenceNetwork, State


class Packing:
    """Which places of words (B, T) are computed: all but the padding, a third of them where names are trained on.

    Layers that treat each place by itself see the places in one row (P, E); only attention needs the words.

    Args:
        ids: (B, T), padded with boundaries.
    """

    def __init__(self, ids: Tensor) -> None:
        used = ids != BOUNDARY
        used[:, 0] = True
        self.shape = ids.shape
        self.rows = used.flatten().nonzero().flatten()  # (P,)

    def pack(self, x: Tensor) -> Tensor:
        """(P, E) of (B, T, E)."""
        return x.flatten(0, 1).index_select(0, self.rows)

    def unpack(self, x: Tensor) -> Tensor:
        """(B, T, E) of (P, E), zero where there is padding."""
        return x.new_zeros(self.shape.numel(), x.shape[1]).index_copy_(0, self.rows, x).view(*self.shape, -1)


class Attention(nn.Module):
    """Causal self-attention with several heads.

    Args:
        embed_dim: Width E of the stream.
        num_heads: Heads, which share E evenly.
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.project_in = nn.Linear(embed_dim, 3 * embed_dim)
        self.project_out = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, past: State, packing: Packing | None = None) -> tuple[Tensor, State]:
        """Stream x (B, T, E) after the keys and values (B, heads, S, E / heads) of the past; both again, with those.

        With a packing, the stream is (P, E).
        """
        projected = self.project_in(x)
        if packing is not None:
            projected = packing.unpack(projected)
        query, key, value = (
            part.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, T, E / heads)
            for part in projected.chunk(3, dim=2)
        )
        visible = None
        if past:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
            visible = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=x.device)  # (T, S + T)
            visible = visible.tril(past[0].shape[2])  # all of the past, and of the new what is not ahead
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=not past)
        joined = attended.transpose(1, 2).flatten(2)  # (B, T, E)
        return self.project_out(joined if packing is None else packing.pack(joined)), (key, value)


class Block(nn.Module):
    """Attention, then a layer four times as wide; each added to the stream.

    Args:
        embed_dim: Width E of the stream.
        num_heads: Heads of the attention.
        dropout: Share of each addition that is zeroed in training, in [0, 1).
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(embed_dim)
        self.attention = Attention(embed_dim, num_heads)
        self.norm_mlp = nn.LayerNorm(embed_dim)
        self.widen = nn.Linear(embed_dim, 4 * embed_dim)
        self.narrow = nn.Linear(4 * embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, past: State, packing: Packing | None = None) -> tuple[Tensor, State]:
        """Stream (B, T, E), or packed (P, E), and the attention's past, both one block further."""
        attended, past = self.attention(self.norm_attention(x), past, packing)
        x = x + self.dropout(attended)
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.norm_mlp(x))))), past


class Transformer(SequenceNetwork):
    """Predict each next character by attention to all before it (GPT-2's form).

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.
        embed_dim: Width E of the stream.
        num_layers: Blocks.
        num_heads: Heads of each attention; they share E evenly.
        num_positions: Places with a vector of their own; those beyond share the last.
        dropout: Share of the embedding and of each block's additions that is zeroed in training, in [0, 1).

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.

    Raises:
        UserError: If the heads cannot share the width.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int = 64,
        num_layers: int = 4,
        num_heads: int = 4,
        num_positions: int = 32,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise UserError(f"embed_dim is {embed_dim}; it must be a multiple of num_heads ({num_heads})")
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        self.positions = PositionEmbedding(num_positions, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dim)
        self.output = nn.Linear(embed_dim, vocab_size, bias=False)
        self._start_weights()

    def _start_weights(self) -> None:
        """Radford et al. 2019, section 2.3: additions to the stream start smaller the more of them there are."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                adds = name.endswith(("project_out.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * len(self.blocks)) ** 0.5 if adds else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """As the base says; in training, logits of padding are zero and cost nothing."""
        if not self.training or torch.compiler.is_compiling():  # how much is padding, a compiler cannot know
            return super().forward(x)
        packing = Packing(x)
        places = packing.rows % x.shape[1]
        stream = self.dropout(self.embedding(x.flatten().index_select(0, packing.rows)) + self.positions(places))
        for block in self.blocks:
            stream, _ = block(stream, (), packing)
        return packing.unpack(self.output(self.norm(stream)))

    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """As the base says; the state holds keys and values (B, heads, S, E / heads) of each block in turn."""
        start = state[0].shape[2] if state else 0
        places = torch.arange(start, start + ids.shape[1], device=ids.device)
        x = self.dropout(self.embedding(ids) + self.positions(places))  # (B, T, E)
        new: State = ()
        for i, block in enumerate(self.blocks):
            x, past = block(x, state[2 * i : 2 * i + 2])
            new += past
        return self.output(self.norm(x)), new
