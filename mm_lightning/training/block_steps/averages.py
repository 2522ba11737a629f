"""Averages of the weights within blocks of steps: Lightning calls its averaging callback once per block."""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_swa_avg_fn

from mm_lightning.networks.base import Network
from mm_lightning.training.block_steps.lightning_counters import batch_index
from mm_lightning.training.callbacks.averaging import average_of, averaging_of, note_update


def average_step(trainer: pl.Trainer, batch: Any, num_left: int) -> None:
    """Update the average after a step that is not the last of its block; Lightning's own call follows the last.

    Args:
        trainer: The Trainer, whose `global_step` counts the step.
        batch: The batch of the step.
        num_left: Number of steps of the block that follow.
    """
    callback = averaging_of(trainer)
    if callback is not None and num_left:
        callback.on_train_batch_end(trainer, trainer.lightning_module, None, batch, batch_index(trainer) - num_left)


class LoopAverage:
    """The average of a compiled loop: its tensors, and its update as a function.

    Args:
        trainer: The Trainer, in a fit.
        callback: The averaging callback.
    """

    num_settings = 2  # of a step: whether the average is updated, and by how many updates it was before

    def __init__(self, trainer: pl.Trainer, callback: WeightAveraging) -> None:
        self._trainer = trainer
        self._callback = callback
        self._averaged = average_of(callback)
        self._update = self._averaged.avg_fn or get_swa_avg_fn()  # type: ignore[no-untyped-call] # torch's own

    @staticmethod
    def of(trainer: pl.Trainer) -> "LoopAverage | None":
        """The average of a fit, if it has one."""
        callback = averaging_of(trainer)
        return None if callback is None else LoopAverage(trainer, callback)

    def tensors(self, names: list[str]) -> list[Tensor]:
        """Averages of the network's weights and buffers of these names."""
        network = self._averaged.module.network
        assert isinstance(network, Network)
        named = {**dict(network.named_parameters()), **dict(network.named_buffers())}
        return [named[name].detach() for name in names]

    def plan(self, num_steps: int) -> list[list[float]]:
        """Settings of the next steps (num_steps, 2); counts their updates as done."""
        first, done = self._trainer.global_step, int(self._averaged.n_averaged)
        rows = []
        for step in range(first, first + num_steps):
            is_due = self._callback.should_update(step_idx=step)
            rows.append([float(is_due), float(done)])
            if is_due:
                done += 1
                note_update(self._callback, step + 1)
        self._averaged.n_averaged.fill_(done)
        return rows

    def updated(self, averages: list[Tensor], values: list[Tensor], num_weights: int, settings: Tensor) -> list[Tensor]:
        """Averages after a step, from those before it and the step's weights and buffers.

        Args:
            averages: Averages of weights and buffers.
            values: Weights, then buffers.
            num_weights: Number of weights.
            settings: (2,) a row of `plan`.
        """
        is_due, done = settings[0] > 0, settings[1].long()
        num_averaged = len(values) if self._averaged.use_buffers else num_weights  # other buffers are copied
        result = []
        for i, (average, value) in enumerate(zip(averages, values, strict=True)):
            new = self._update(average, value, done).to(value.dtype) if i < num_averaged else value
            result.append(torch.where(is_due & (done > 0), new, torch.where(is_due, value, average)))
        return result


def average_obstacle(trainer: pl.Trainer) -> str | None:
    """The reason why a compiled loop cannot update the average; None where it can, or where there is none."""
    callback = averaging_of(trainer)
    if callback is None:
        return None
    name = type(callback).__name__
    if average_of(callback).multi_avg_fn is not None:
        return f"trainer.callbacks has {name} with multi_avg_fn, and only avg_fn is compiled"
    if type(callback).on_train_batch_end is not WeightAveraging.on_train_batch_end:
        return f"trainer.callbacks has {name} with its own on_train_batch_end, and compiled steps call none"
    return None
