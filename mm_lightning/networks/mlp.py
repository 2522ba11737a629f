"""The multi-layer perceptron of Bengio et al. 2003, A neural probabilistic language model, JMLR 3, 1137-1155.

As in the lectures, the direct connections from embeddings to output are left out. The lectures' two ways to initialise
the weights are options.
"""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from mm_lightning.data.ranges import Context, Depth, Fraction, Size
from mm_lightning.networks.base import WindowNetwork
from mm_lightning.networks.parts.embeddings import TokenEmbedding

_MIN_PROJECTED_EMBED_DIM = 16  # from this width on, adding projections costs less than the matrix product
_MAX_DENSE_IDS = 32  # up to this many ids, a product with a one-hot matrix costs less than sorting the ids
_GAINS: dict[str, Any] = {"tanh": "tanh", "relu": "relu", "gelu": "relu"}  # names of torch's gains
_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


class _SumOfRows(torch.autograd.Function):
    """Sum the rows of a table (R, H) that ids (N, C) select, each row at most once per sum: (N, H).

    The gradient of `embedding_bag` sorts the ids; for few rows a matrix product takes half the time.
    """

    @staticmethod
    def forward(ids: Tensor, table: Tensor) -> Tensor:
        return F.embedding_bag(ids, table, mode="sum")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ids, table = inputs
        ctx.save_for_backward(ids)
        ctx.num_rows = len(table)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor]:
        (ids,) = ctx.saved_tensors
        is_selected = grad.new_zeros(len(ids), ctx.num_rows).scatter_(1, ids, 1.0)  # (N, R)
        return None, is_selected.t() @ grad


class MLP(WindowNetwork):
    """Predict the next token from a window of C tokens (Bengio et al. 2003).

    The embedding vectors of the window, concatenated, pass through the hidden layers.

    Args:
        vocab_size: Number of ids V, set from the data.
        block_size: Context C in tokens.
        embed_dim: Width E of an embedding vector.
        hidden_dim: Width H of a hidden layer.
        num_layers: Number of hidden layers.
        activation: Activation function of the hidden layers.
        batch_norm: Normalise each hidden layer over the batch, before the activation.
        embed_dropout: Fraction of the embedded window set to zero in training.
        dropout: Fraction of each hidden layer set to zero in training.
        initialization: First values of weights and biases. torch: those of torch's layers. normal: standard normal, as
            in the second lecture; the first loss is high, and many tanh units are saturated. kaiming: its repair in the
            third lecture, normal values scaled by the gain of the activation (He et al. 2015) and a flat output.
        num_labels: Number of labels L, set from the data.

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits.
    """

    def __init__(
        self,
        vocab_size: int,
        block_size: Context = 3,
        embed_dim: Size = 10,
        hidden_dim: Size = 200,
        num_layers: Depth = 1,
        activation: Literal["tanh", "relu", "gelu"] = "tanh",
        batch_norm: bool = False,
        embed_dropout: Fraction = 0.0,
        dropout: Fraction = 0.0,
        initialization: Literal["torch", "normal", "kaiming"] = "torch",
        num_labels: int = 0,
    ) -> None:
        super().__init__(block_size)
        self.num_labels = num_labels
        self.embedding = TokenEmbedding(vocab_size, num_labels, embed_dim)
        layers: list[nn.Module] = [nn.Dropout(embed_dropout)]
        for width in [block_size * embed_dim] + [hidden_dim] * (num_layers - 1):
            layers.append(nn.Linear(width, hidden_dim, bias=not batch_norm))  # the normalisation has a bias
            layers += [nn.BatchNorm1d(hidden_dim)] if batch_norm else []
            layers += [_ACTIVATIONS[activation](), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*(layer for layer in layers if not _is_identity(layer)))
        self.output = nn.Linear(hidden_dim, vocab_size)
        if initialization != "torch":
            self._start_normal(gain=nn.init.calculate_gain(_GAINS[activation]) if initialization == "kaiming" else None)

    def _start_normal(self, gain: float | None) -> None:
        """Draw standard normal weights and biases as in the lectures.

        Args:
            gain: Factor of the hidden weights, over the root of a layer's inputs; the other layers are then scaled
                down as well. None to scale nothing.
        """
        for layer in self.hidden:
            if isinstance(layer, nn.Linear):
                scales = (1.0, 1.0) if gain is None else (gain / layer.in_features**0.5, 0.01)
                _draw_normal(layer, *scales)
        _draw_normal(self.output, *((1.0, 1.0) if gain is None else (0.01, 0.0)))

    @override
    def forward(self, x: Tensor) -> Tensor:
        first = self.hidden[0]
        if isinstance(first, nn.Linear) and self._has_many_windows(x):
            return self.output(self.hidden[1:](self._project(x, first)))  # type: ignore[no-any-return]
        embedded = self.embedding(x).flatten(1)  # (N, C * E)
        return self.output(self.hidden(embedded))  # type: ignore[no-any-return]

    def _has_many_windows(self, x: Tensor) -> bool:
        """Whether projecting each id once costs less; an exported program has one way for any number of windows."""
        if torch.compiler.is_exporting() or self.embedding.embedding_dim < _MIN_PROJECTED_EMBED_DIM:
            return False
        return x.shape[0] > 4 * self.embedding.num_embeddings * max(1, self.num_labels)

    def _project(self, x: Tensor, first: nn.Linear) -> Tensor:
        """Compute the first layer (N, H) by projecting each id once per position and adding up the projections.

        The work is less than that of the matrix product if windows far outnumber ids and embeddings are wide.
        """
        rows = self.embedding.rows  # (R, E) with R = V, or L V with labels
        num_ids, embed_dim = rows.shape
        weight = first.weight.view(-1, self.block_size, embed_dim).permute(1, 2, 0)  # (C, E, H)
        table = (rows @ weight).flatten(0, 1)  # (C * R, H)
        offsets = torch.arange(self.block_size, device=x.device) * num_ids  # (C,)
        sum_rows = _SumOfRows.apply if num_ids <= _MAX_DENSE_IDS else partial(F.embedding_bag, mode="sum")
        sums: Tensor = sum_rows(x + offsets, table)
        return sums if first.bias is None else sums + first.bias


def _draw_normal(layer: nn.Linear, weight_std: float, bias_std: float) -> None:
    nn.init.normal_(layer.weight, std=weight_std)
    if layer.bias is not None:
        nn.init.normal_(layer.bias, std=bias_std)


def _is_identity(layer: nn.Module) -> bool:
    """Check for a layer without effect, which would cost a call per step."""
    return isinstance(layer, nn.Dropout) and layer.p == 0
