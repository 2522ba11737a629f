"""Networks and callbacks whose numbers go wrong on purpose."""

import math

import torch
from lightning.pytorch.callbacks import Callback

from mm_lightning.networks import MLP


class OverconfidentMLP(MLP):
    """The lecture's bad initialisation: large output weights, so that the first loss is many times log V."""

    def __init__(self, vocab_size: int, block_size: int = 2, embed_dim: int = 8, hidden_dim: int = 32) -> None:
        super().__init__(vocab_size, block_size, embed_dim, hidden_dim)
        with torch.no_grad():
            self.output.weight *= 100


class NaNInEvalMLP(MLP):
    """Network that trains, and gives NaN in eval mode."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = super().forward(x)
        return logits if self.training else logits * math.nan


class Poison(Callback):
    """A weight that becomes NaN after a step.

    Args:
        step: The first step after which the weight is NaN.
    """

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.global_step >= self.step:
            with torch.no_grad():
                next(pl_module.network.parameters()).view(-1)[0] = math.nan
