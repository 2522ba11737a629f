"""The Transformer in the form of GPT-2 (Vaswani et al. 2017, arXiv:1706.03762; Radford et al. 2019).

Normalisation comes first in each layer, position embeddings are learned, and weights are initialised as in GPT-2.
"""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import Depth, Fraction, Size
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks.base import Part, SequenceNetwork, State
from mm_lightning.networks.parts.embeddings import PositionEmbedding, TokenEmbedding


class Packing:
    """P positions of a batch of items (B, T), without most of the padding, which on names is a third of all positions.

    Layers that work position by position see packed positions (P, E); only attention needs (B, T, E).

    Args:
        shape: B and T.
        places: (P,) the positions, numbered item by item.
    """

    def __init__(self, shape: torch.Size, places: Tensor) -> None:
        self.shape = shape
        self.places = places

    @classmethod
    def of_used(cls, tokens: Tensor) -> Self:
        """All positions that are not padding of ids (B, T) without labels, padded with boundaries."""
        is_used = tokens != BOUNDARY
        is_used[:, 0] = True
        return cls(tokens.shape, is_used.flatten().nonzero().flatten())

    @classmethod
    def of_parts(cls, x: Tensor, parts: Sequence[Part]) -> Self:
        """The positions in parts of items x (B, T), part by part."""
        places = [  # numbers, which are a constant of a compiled step
            row * x.shape[1] + position
            for rows, start, stop in parts
            for row in range(rows)
            for position in range(start, stop)
        ]
        return cls(x.shape, torch.tensor(places, device=x.device))

    def pack(self, x: Tensor) -> Tensor:
        """Select the positions: (B, T, ...) -> (P, ...)."""
        return x.flatten(0, 1).index_select(0, self.places)

    def unpack(self, x: Tensor) -> Tensor:
        """Put the positions back, and zeros for the others: (P, E) -> (B, T, E)."""
        return x.new_zeros(self.shape.numel(), x.shape[1]).index_copy_(0, self.places, x).view(*self.shape, -1)


class Attention(nn.Module):
    """Causal self-attention with several heads.

    Args:
        embed_dim: Width E of the residual stream, a multiple of `num_heads`.
        num_heads: Number of heads.

    Shape: x (B, T, E) -> (B, T, E), or packed (P, E) -> (P, E); keys and values (B, heads, S, E / heads) of S past
        positions -> (B, heads, S + T, E / heads).
    """

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.project_in = nn.Linear(embed_dim, 3 * embed_dim)
        self.project_out = nn.Linear(embed_dim, embed_dim)

    @override
    def forward(self, x: Tensor, past: State, packing: Packing | None = None) -> tuple[Tensor, State]:
        projected = self.project_in(x)
        if packing is not None:
            projected = packing.unpack(projected)
        query, key, value = (
            tensor.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, heads, T, E / heads)
            for tensor in projected.chunk(3, dim=2)
        )
        mask = None
        if past:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)
            mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=x.device)  # (T, S + T)
            mask = mask.tril(past[0].shape[2])  # all past positions, and new positions that are not later
        if packing is not None and torch.compiler.is_compiling():
            attended = _attend(query, key, value)
        else:
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=not past)
        joined = attended.transpose(1, 2).flatten(2)  # (B, T, E)
        return self.project_out(joined if packing is None else packing.pack(joined)), (key, value)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Causal attention as products: compiled, they take less time than torch's kernel on short items."""
    scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])  # (B, heads, T, T)
    is_later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(is_later, -math.inf).softmax(3) @ value


class TransformerLayer(nn.Module):
    """Transformer layer: attention, then an MLP with 4 E hidden units; each adds its output to the residual stream.

    Args:
        embed_dim: Width E of the residual stream, a multiple of `num_heads`.
        num_heads: Number of attention heads.
        dropout: Fraction of each added output set to zero in training.

    Shape: that of `Attention`.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(embed_dim)
        self.attention = Attention(embed_dim, num_heads)
        self.norm_mlp = nn.LayerNorm(embed_dim)
        self.widen = nn.Linear(embed_dim, 4 * embed_dim)
        self.narrow = nn.Linear(4 * embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout)

    @override
    def forward(self, x: Tensor, past: State, packing: Packing | None = None) -> tuple[Tensor, State]:
        attended, past = self.attention(self.norm_attention(x), past, packing)
        x = x + self.dropout(attended)
        return x + self.dropout(self.narrow(F.gelu(self.widen(self.norm_mlp(x))))), past


class Transformer(SequenceNetwork):
    """Predict the next token by attention to all tokens so far (the form of GPT-2).

    Args:
        vocab_size: Number of ids V, set from the data.
        embed_dim: Width E of the residual stream, a multiple of num_heads.
        num_layers: Number of Transformer layers.
        num_heads: Number of attention heads per layer.
        num_positions: Positions with a vector of their own; later positions share the last vector.
        dropout: Fraction of the embedding and of each layer's two outputs set to zero in training.
        num_labels: Number of labels L, set from the data.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.

    Raises:
        UserError: If `embed_dim` is not a multiple of `num_heads`.
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: Size = 64,
        num_layers: Depth = 4,
        num_heads: Size = 4,
        num_positions: Size = 32,
        dropout: Fraction = 0.0,
        num_labels: int = 0,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise UserError(f"embed_dim is {embed_dim}; it must be a multiple of num_heads ({num_heads})")
        self.num_labels = num_labels
        self.embedding = TokenEmbedding(vocab_size, num_labels, embed_dim)
        self.positions = PositionEmbedding(num_positions, embed_dim)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(TransformerLayer(embed_dim, num_heads, dropout) for _ in range(num_layers))
        self.norm = nn.LayerNorm(embed_dim)
        self.output = nn.Linear(embed_dim, vocab_size, bias=False)
        self._init_weights()

    def _init_weights(self) -> None:
        """Initialise as GPT-2 (Radford et al. 2019, section 2.3): smaller outputs to the stream with more layers."""
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                is_added = name.endswith(("project_out.weight", "narrow.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * len(self.layers)) ** 0.5 if is_added else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    @override
    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits (B, T, V) of items x (B, T); in training, the logits of padding are zero."""
        if not self.training or torch.compiler.is_compiling():  # packed shapes depend on the data, compiled ones cannot
            return super().forward(x)
        packing = Packing.of_used(x % self.embedding.num_embeddings)
        return packing.unpack(self._packed_logits(x, packing))

    @property
    @override
    def max_parts(self) -> None:
        return None  # all parts are packed into one

    @override
    def read_parts(self, x: Tensor, parts: Sequence[Part]) -> Tensor:
        return self._packed_logits(x, Packing.of_parts(x, parts))

    def _packed_logits(self, x: Tensor, packing: Packing) -> Tensor:
        """Logits (P, V) at the packed positions of items x (B, T)."""
        positions = packing.places % x.shape[1]  # (P,)
        stream = self.dropout(self.embedding(packing.pack(x)) + self.positions(positions))  # (P, E)
        for layer in self.layers:
            stream, _ = layer(stream, (), packing)
        return self.output(self.norm(stream))  # type: ignore[no-any-return]

    @override
    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        start = state[0].shape[2] if state else 0  # the state: keys and values (B, heads, S, E / heads) of each layer
        positions = torch.arange(start, start + ids.shape[1], device=ids.device)
        x = self.dropout(self.embedding(ids) + self.positions(positions))  # (B, T, E)
        after: State = ()
        for i, layer in enumerate(self.layers):
            x, past = layer(x, state[2 * i : 2 * i + 2])
            after += past
        return self.output(self.norm(x)), after
