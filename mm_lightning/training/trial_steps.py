"""Optimiser steps on a copy of the model, to learn from without changing anything."""

import copy
from collections.abc import Callable, Iterable
from itertools import chain, islice, repeat
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import Optimizer

from mm_lightning import UserError
from mm_lightning.data.batches import Batch
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks.base import Network
from mm_lightning.training.module import LanguageModel

Clip = Callable[[Iterable[nn.Parameter]], object]  # limits gradients in place


def update_ratios(
    model: LanguageModel,
    content: dict[str, Any],
    batches: Iterable[Batch],
    num_steps: int,
    accumulate: int = 1,
    clip: Clip | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Carry out optimiser steps on a copy; log10 of std(update) / std(weight) at each (n,), by name of the matrix.

    The optimiser goes on from its state in the checkpoint, at the learning rate that it has there.

    Args:
        model: The model, with the checkpoint's weights.
        content: What the checkpoint holds.
        batches: One epoch of training batches, as often as it is asked for.
        num_steps: Optimiser steps.
        accumulate: Batches of a step.
        clip: Limits the gradients before a step.

    Raises:
        UserError: If the weights do not stay finite.
    """
    model = copy.deepcopy(model)
    optimizer = _restored_optimizer(model, content)
    network = model.network.train()
    source = chain.from_iterable(repeat(batches))
    matrices = {name: p for name, p in network.named_parameters() if p.dim() > 1 and p.requires_grad}
    ratios = np.empty((len(matrices), num_steps))
    for step in range(num_steps):
        before = [p.detach().clone() for p in matrices.values()]
        group = list(islice(source, accumulate))
        optimizer.step(lambda: _backward(network, optimizer, group, clip))  # noqa: B023 # called at once
        for row, (p, old) in enumerate(zip(matrices.values(), before, strict=True)):
            ratios[row, step] = float((p.detach() - old).std(correction=0) / old.std(correction=0))
        if not all(bool(p.isfinite().all()) for p in matrices.values()):
            raise UserError(f"training diverges at step {content['global_step'] + step + 1}")
    with np.errstate(divide="ignore"):
        return dict(zip(matrices, np.log10(ratios), strict=True))


def _backward(network: Network, optimizer: Optimizer, group: list[Batch], clip: Clip | None) -> float:
    """The mean loss of some batches and its gradients; some optimisers ask for it several times a step."""
    optimizer.zero_grad()
    loss = torch.stack([cross_entropy(network(x), y) for x, y in group]).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip is not None:
        clip(network.parameters())
    return float(loss.detach())


def _restored_optimizer(model: LanguageModel, content: dict[str, Any]) -> Optimizer:
    """The optimiser as the checkpoint left it, but for settings that were given anew."""
    content = copy.deepcopy(content)
    model.on_load_checkpoint(content)
    configuration = model.configure_optimizers()
    optimizer = configuration["optimizer"] if isinstance(configuration, dict) else configuration
    assert isinstance(optimizer, Optimizer)
    optimizer.load_state_dict(content["optimizer_states"][0])
    return optimizer
