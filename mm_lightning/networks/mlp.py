"""The multi-layer perceptron of Bengio et al. 2003.

A neural probabilistic language model, JMLR 3 (2003) 1137-1155, without the direct connections from embeddings to
output, as the lectures have it. Weights start as torch's layers start them: the lecture's own start, standard normal
everywhere, spends its first thousand steps on shrinking logits.
"""

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mm_lightning import UserError
from mm_lightning.networks.base import WindowNetwork

_WIDE = 16  # embedding from which on a lookup costs less than its product
_FEW = 32  # ids up to which a product with zeros and ones costs less than a sort
_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


class _SumOfRows(torch.autograd.Function):
    """Sums (N, H) of a table's rows (R, H) named by ids (N, C), each row at most once in a sum.

    torch's own gradient sorts the ids; where they fall on few rows, counting them by a matrix product takes half the
    time.
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
        named = grad.new_zeros(len(ids), ctx.num_rows).scatter_(1, ids, 1.0)
        return None, named.t() @ grad


class MLP(WindowNetwork):
    """Predict the next character from a fixed window (Bengio et al. 2003).

    Each character of the window picks a row of one shared table; the rows, end to end, pass the hidden layers.

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.
        block_size: Context C in characters.
        embed_dim: Width E of a table row.
        hidden_dim: Width H of a hidden layer.
        num_layers: Number of hidden layers, at least 1.
        activation: Of the hidden layers.
        batch_norm: Normalise each hidden layer over the batch before its activation.
        embed_dropout: Share of the embedded window that is zeroed in training, in [0, 1).
        dropout: Share of each hidden layer that is zeroed in training, in [0, 1).

    Shape: x (N, C) int64 in [0, V) -> (N, V) logits.
    """

    def __init__(
        self,
        vocab_size: int,
        block_size: int = 3,
        embed_dim: int = 10,
        hidden_dim: int = 200,
        num_layers: int = 1,
        activation: Literal["tanh", "relu", "gelu"] = "tanh",
        batch_norm: bool = False,
        embed_dropout: float = 0.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(block_size)
        if num_layers < 1:
            raise UserError(f"num_layers is {num_layers}; it must be at least 1")
        self.embedding = nn.Embedding(vocab_size, embed_dim)
        layers: list[nn.Module] = [nn.Dropout(embed_dropout)]
        for width in [block_size * embed_dim] + [hidden_dim] * (num_layers - 1):
            layers.append(nn.Linear(width, hidden_dim, bias=not batch_norm))  # the normalisation has its own bias
            layers += [nn.BatchNorm1d(hidden_dim)] if batch_norm else []
            layers += [_ACTIVATIONS[activation](), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(*(layer for layer in layers if not _is_idle(layer)))
        self.output = nn.Linear(hidden_dim, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, V) of windows x (N, C)."""
        first = self.hidden[0]
        vocab_size, embed_dim = self.embedding.weight.shape
        if isinstance(first, nn.Linear) and len(x) > 4 * vocab_size and embed_dim >= _WIDE:
            return self.output(self.hidden[1:](self._project(x, first)))  # type: ignore[no-any-return]
        embedded = self.embedding(x).flatten(1)  # (N, C * E)
        return self.output(self.hidden(embedded))  # type: ignore[no-any-return]

    def _project(self, x: Tensor, first: nn.Linear) -> Tensor:
        """The first layer's sums (N, H), each id projected once per place: less work with far more windows than ids.

        Adding the projections up costs as much per place as the product of a narrow embedding would.
        """
        vocab_size, embed_dim = self.embedding.weight.shape
        by_place = first.weight.view(-1, self.block_size, embed_dim).permute(1, 2, 0)  # (C, E, H)
        table = (self.embedding.weight @ by_place).flatten(0, 1)  # (C * V, H)
        places = torch.arange(self.block_size, device=x.device) * vocab_size
        look_up = _SumOfRows.apply if vocab_size <= _FEW else partial(F.embedding_bag, mode="sum")
        sums: Tensor = look_up(x + places, table)
        return sums if first.bias is None else sums + first.bias


def _is_idle(layer: nn.Module) -> bool:
    """Whether a layer does nothing, at the price of a call per step."""
    return isinstance(layer, nn.Dropout) and layer.p == 0
