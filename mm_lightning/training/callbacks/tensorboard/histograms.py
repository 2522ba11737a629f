"""Weights, activations and gradients in TensorBoard's HISTOGRAMS and DISTRIBUTIONS tabs."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn
from torch.func import functional_call
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.ranges import Count
from mm_lightning.evaluation.activations import recorded_outputs
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks.base import Network
from mm_lightning.training.callbacks.run_loggers import event_writer
from mm_lightning.training.module import LanguageModel


class Histograms(Callback):
    """Histograms of weights, activations and gradients, at an interval of optimiser steps.

    Activations are the outputs of all layers but dropout. Activations and gradients come from an extra pass over the
    batch just trained on. Blocks, compiled steps and mixed precision therefore show the same values as single steps.
    The pass leaves gradients, running statistics and random state unchanged.

    Args:
        every_n_train_steps: Optimiser steps between two sets of histograms; null for none.
    """

    def __init__(self, every_n_train_steps: Count | None = None) -> None:
        self.every_n_train_steps = every_n_train_steps
        self._written_step = 0

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Refuse an interval for a run that cannot show histograms.

        Raises:
            UserError: If the network counts, or the logger is not TensorBoard's.
        """
        assert isinstance(pl_module, LanguageModel)
        if self.every_n_train_steps is None or not trainer.is_global_zero:
            return
        setting = f"histograms.every_n_train_steps is {self.every_n_train_steps}, but"
        if not pl_module.learns_by_gradient:
            raise UserError(f"{setting} {type(pl_module.network).__name__} does not learn by gradient; leave it out")
        if not any(isinstance(logger, TensorBoardLogger) for logger in trainer.loggers):
            raise UserError(f"{setting} trainer.logger is not TensorBoard's, which shows them; leave one of them out")

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._written_step = trainer.global_step  # the part of the run before a checkpoint has written that step

    @override
    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write a set of histograms if the interval is over."""
        every, step = self.every_n_train_steps, trainer.global_step
        if every is None or step % every or step == self._written_step or (writer := event_writer(trainer)) is None:
            return
        self._written_step = step  # with accumulated gradients, several batches belong to one step
        assert isinstance(pl_module, LanguageModel)
        x, y = pl_module.stepper.last_batch(batch)
        for tag, values in measure(pl_module.network, x, y).items():
            finite = values.detach().float().cpu()
            finite = finite[finite.isfinite()]
            if len(finite):
                writer.add_histogram(tag, finite, step)


def measure(network: Network, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Compute weights, activations and gradients on one batch, by tag; the network stays unchanged.

    Args:
        network: The network, in train mode.
        x: Inputs of a training batch.
        y: Their targets.
    """
    weights = {name: p for name, p in network.named_parameters() if p.requires_grad}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    devices = [x.device] if x.device.type == "cuda" else []
    with torch.random.fork_rng(devices), recorded_outputs(network, _is_shown) as outputs:
        loss = cross_entropy(functional_call(network, buffers, (x,)), y)
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    measured: dict[str, Tensor] = {f"weights/{name}": weight for name, weight in weights.items()}
    measured |= {f"activations/{name}": calls[-1] for name, calls in outputs.items()}
    measured |= {f"gradients/{name}": g for name, g in zip(weights, gradients, strict=True) if g is not None}
    return measured


def _is_shown(layer: nn.Module) -> bool:
    """Whether the layer has no layers inside and is not dropout."""
    return not any(layer.children()) and not isinstance(layer, nn.Dropout)
