"""Settings of blocks, and the checks for settings that blocks or compiled steps exclude."""

import os
import shutil
from dataclasses import dataclass

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mm_lightning import UserError
from mm_lightning.training.optimization import GradientClipping

_HOOKS_WITHIN_A_STEP = (
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


@dataclass(frozen=True)
class BlockSettings:
    """Settings of blocks: size, compilation and gradient clipping.

    Args:
        max_steps: Largest number of steps in a block, K; 1 for single steps.
        compile: Whether the steps are compiled; None to decide when the first block comes.
        clipping: Gradient clipping, which Lightning refuses under manual optimisation.
    """

    max_steps: int
    compile: bool | None
    clipping: GradientClipping

    def check(self, trainer: pl.Trainer) -> None:
        """Refuse settings that exclude each other.

        Raises:
            UserError: Names both settings.
        """
        steps = self.max_steps
        if steps == 1 and self.compile:
            raise UserError("trainer.compile is true, but trainer.steps_per_execution is 1; raise it, say to 100")
        if steps == 1:
            return
        _check_callbacks(trainer.callbacks, steps)  # type: ignore[attr-defined] # set by a connector
        if (value := trainer.accumulate_grad_batches) != 1:
            raise UserError(
                f"trainer.accumulate_grad_batches is {value} and trainer.steps_per_execution is {steps}; "
                "one of them must be 1"
            )


def _check_callbacks(callbacks: list[Callback], steps: int) -> None:
    """Refuse callbacks with hooks that are called within a step."""
    for callback in callbacks:
        for hook in _HOOKS_WITHIN_A_STEP:
            if is_overridden(hook, callback, Callback):
                raise UserError(
                    f"trainer.callbacks has {type(callback).__name__}, whose {hook} comes with every single step, and "
                    f"trainer.steps_per_execution is {steps}; set --trainer.steps_per_execution 1"
                )


def obstacle(
    optimizer: Optimizer, scheduler: LRScheduler | None, precision: str, device: torch.device, num_devices: int = 1
) -> str | None:
    """The reason why steps cannot be compiled, as "SETTING is VALUE"; None where they can.

    Args:
        optimizer: The optimiser.
        scheduler: The schedule of the optimiser.
        precision: Lightning's precision.
        device: Device of the network.
        num_devices: Number of devices that train together.
    """
    name, schedule = type(optimizer).__name__, type(scheduler).__name__
    kinds = (
        (num_devices == 1, f"{num_devices} devices train together, and compiled steps are for one device"),
        (device.type == "cpu", f"trainer.accelerator is {device.type}, and compiled steps are for CPUs"),
        (
            type(optimizer) in (SGD, Adam, AdamW),  # a subclass may have a rule of its own
            f"model.optimizer is {name}, and only SGD, Adam and AdamW are compiled",
        ),
        (
            not (isinstance(optimizer, SGD) and getattr(scheduler, "cycle_momentum", False)),
            f"model.lr_scheduler is {schedule} with cycle_momentum, and SGD's momentum is compiled as a constant",
        ),
        (
            precision in ("32-true", "bf16-mixed"),
            f"trainer.precision is {precision}, and only 32-true and bf16-mixed are compiled",
        ),
        (not torch.is_anomaly_enabled(), "trainer.detect_anomaly is true"),
        (any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++"))), "there is no C++ compiler; install g++"),
    )
    return next((reason for holds, reason in kinds if not holds), None)
