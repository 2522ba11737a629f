"""Weights, activations and gradients in TensorBoard's HISTOGRAMS and DISTRIBUTIONS tabs, now and then."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.func import functional_call

from mm_lightning import UserError
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks.base import Network
from mm_lightning.training.module import LanguageModel


class Histograms(Callback):
    """Show how weights, activations and gradients are spread, on an interval of optimiser steps.

    Activations are what each layer but dropout puts out. They and the gradients come from one more pass over the batch
    just trained on, so that steps in blocks, compiled ones and those in mixed precision show the same; the pass leaves
    gradients, running statistics and random state as they are.

    Args:
        every_n_train_steps: Optimiser steps between two sets of histograms; null for none.
    """

    def __init__(self, every_n_train_steps: int | None = None) -> None:
        if every_n_train_steps is not None and every_n_train_steps < 1:
            raise UserError(f"histograms.every_n_train_steps is {every_n_train_steps}; it must be at least 1")
        self.every_n_train_steps = every_n_train_steps
        self._written_step = 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse what would show nothing."""
        assert isinstance(pl_module, LanguageModel)
        if self.every_n_train_steps is None or not trainer.is_global_zero:
            return
        asked = f"histograms.every_n_train_steps is {self.every_n_train_steps}, but"
        if pl_module.is_counted:
            raise UserError(f"{asked} {type(pl_module.network).__name__} is fitted by counting; leave it out")
        if not isinstance(trainer.logger, TensorBoardLogger):
            raise UserError(f"{asked} trainer.logger is not TensorBoard's, which shows them; leave one of them out")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a set where it is time for one."""
        every, step = self.every_n_train_steps, trainer.global_step
        if every is None or step % every or step == self._written_step or not trainer.is_global_zero:
            return
        self._written_step = step  # gradients may be accumulated over several batches of one step
        assert isinstance(pl_module, LanguageModel)
        assert isinstance(trainer.logger, TensorBoardLogger)
        x, y = pl_module.stepper.last_batch(batch)
        for tag, values in measure(pl_module.network, x, y).items():
            finite = values.detach().float().cpu()
            finite = finite[finite.isfinite()]
            if len(finite):
                trainer.logger.experiment.add_histogram(tag, finite, step)


def measure(network: Network, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Weights, activations and gradients by tag, for one batch in the network's own layout; changes nothing."""
    weights = {name: p for name, p in network.named_parameters() if p.requires_grad}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices), _activations(network) as activations:
        loss = cross_entropy(functional_call(network, buffers, (x,)), y)
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    found: dict[str, Tensor] = {f"weights/{name}": weight for name, weight in weights.items()}
    found |= {f"activations/{name}": values for name, values in activations.items()}
    found |= {f"gradients/{name}": g for name, g in zip(weights, gradients, strict=True) if g is not None}
    return found


@contextmanager
def _activations(network: Network) -> Iterator[dict[str, Tensor]]:
    """Outputs of the layers by name, as the network computes."""
    found: dict[str, Tensor] = {}

    def keep(name: str, output: Any) -> None:
        found[name] = output[0] if isinstance(output, tuple) else output  # recurrent layers add their last state

    layers = {
        name: layer
        for name, layer in network.named_modules()
        if name and not any(layer.children()) and not isinstance(layer, nn.Dropout)
    }
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
        for name, layer in layers.items()
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
