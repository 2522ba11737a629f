"""A block of optimiser steps as one compiled loop.

Gradients come from `torch.func`, and updates are functions. So a step is a pure function of weights, buffers and
optimiser state, and a block is one `torch.while_loop` over steps. torch compiles the block to a loop in C++ whose body
is a single step: compile time does not grow with the block, and a step is the same machine code in every block. A
resumed run has other blocks, and still repeats the uninterrupted run bit for bit.
"""

import os
import shutil
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, grad_and_value
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mm_lightning import UserError
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks.base import Network
from mm_lightning.training.block_steps.averages import LoopAverage
from mm_lightning.training.block_steps.optimizer_rules import Tensors, rule_of
from mm_lightning.training.optimization import GradientClipping


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
            type(optimizer) is SGD or isinstance(optimizer, Adam),
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


class CompiledSteps:
    """Compiled steps of one network and one optimiser; the constructor compiles.

    Args:
        network: The network in training.
        optimizer: SGD, Adam or AdamW.
        max_steps: Largest number of steps in a block, K.
        x: (n, N, C) or (n, B, T) inputs of any block, for the shapes.
        y: (n, N) or (n, B, T) targets.
        autocast: Whether to compute in bfloat16 under torch's autocast.
        clipping: Gradient clipping.
        average: Average of the weights, if there is one.

    Raises:
        Exception: An error of torch's compiler.
    """

    def __init__(
        self,
        network: Network,
        optimizer: Optimizer,
        max_steps: int,
        x: Tensor,
        y: Tensor,
        autocast: bool = False,
        clipping: GradientClipping = GradientClipping(),  # noqa: B008 # immutable
        average: LoopAverage | None = None,
    ) -> None:
        self._network = network
        self._group = optimizer.param_groups[0]
        self._optimizer = optimizer
        self._max_steps = max_steps
        self._autocast = autocast
        self._clipping = clipping
        self._average = average
        self._rule = rule_of(optimizer)
        self._num_moving = len(self._rule.moving(1))  # counted here: a compiled call would hang on the learning rate
        self._fixed = self._fixed_settings()
        named = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self._names = [*named, *(name for name, _ in network.named_buffers())]
        self._parameters = list(named.values())
        self._values = [value.detach() for value in (*self._parameters, *network.buffers())]
        self._averages = [] if average is None else average.tensors(self._names)
        self._loop = torch.compile(self._block, fullgraph=True, dynamic=False, options={"cpp_wrapper": True})
        self._call(x[:0], y[:0], [])

    @property
    def ready(self) -> bool:
        """Whether the optimiser has the state that its first step creates."""
        return all(part is not None for _, _, part in self._state())

    def moving_settings(self, ahead: int) -> list[float]:
        """The optimiser's settings that may change from step to step, the learning rate first.

        Args:
            ahead: Number of steps of the block before the step that the settings are for.
        """
        counts = (self._optimizer.state[p].get("step") for p in self._parameters)
        done = next((count for count in counts if count is not None), 0)
        return self._rule.moving(int(done) + ahead + 1)

    def __call__(self, x: Tensor, y: Tensor, settings: list[list[float]]) -> Tensor:
        """Carry out a block of n steps.

        Args:
            x: (n, ...) inputs, of the compiled shapes.
            y: (n, ...) targets.
            settings: (n, number of settings) from `moving_settings`.

        Returns:
            Loss of each step (n,).

        Raises:
            UserError: If the schedule changed a setting that was compiled as a constant.
        """
        for key, value in self._fixed_settings().items():
            if value != self._fixed[key]:
                raise UserError(
                    f"the schedule changed the optimiser's {key} from {self._fixed[key]} to {value}, "
                    "which compiled steps cannot follow; set --trainer.compile false"
                )
        if self._average is not None:
            settings = [[*row, *own] for row, own in zip(settings, self._average.plan(len(x)), strict=True)]
        return self._call(x, y, settings)

    def _fixed_settings(self) -> dict[str, Any]:
        return {key: value for key, value in self._group.items() if key not in ("params", "lr", "betas")}

    def _call(self, x: Tensor, y: Tensor, settings: list[list[float]]) -> Tensor:
        steps = len(x)
        num_settings = self._num_moving + (0 if self._average is None else self._average.num_settings)
        moving = torch.zeros(self._max_steps, num_settings)
        if steps:
            moving[:steps] = torch.tensor(settings)
        state = [self._blank(key, p) if part is None else part for key, p, part in self._state()]
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            count = torch.tensor(steps)
            args = (moving, self._values, state, self._averages)
            return self._loop(count, self._full(x), self._full(y), *args)[:steps]

    def _state(self) -> list[tuple[str, Tensor, Tensor | None]]:
        """Name, weight and tensor of each part of the optimiser's state; None for a part not yet created."""
        return [(key, p, self._optimizer.state[p].get(key)) for key in self._rule.state for p in self._parameters]

    @staticmethod
    def _blank(key: str, weight: Tensor) -> Tensor:
        """A zero part of the optimiser's state."""
        return torch.zeros(()) if key == "step" else torch.zeros_like(weight)

    def _full(self, inputs: Tensor) -> Tensor:
        """Pad inputs (n, ...) to K steps, in one memory layout, so that one compiled function serves every block."""
        if len(inputs) == self._max_steps:
            return inputs.contiguous()
        return torch.cat([inputs, inputs.new_zeros(self._max_steps - len(inputs), *inputs.shape[1:])])

    def _block(
        self,
        count: Tensor,
        x: Tensor,
        y: Tensor,
        moving: Tensor,
        values: Tensors,
        state: Tensors,
        averages: Tensors,
    ) -> Tensor:
        """Carry out the first `count` steps, update values, state and averages in place; returns losses (K,)."""
        num_weights, num_values = len(self._parameters), len(values)
        num_carried = num_values + len(state)

        def unfinished(step: Tensor, losses: Tensor, *carried: Tensor) -> Tensor:
            return step < count

        def take_step(step: Tensor, losses: Tensor, *carried: Tensor) -> tuple[Tensor, ...]:
            own = [part.index_select(0, step.view(1)).squeeze(0) for part in (x, y, moving)]
            weights, rest = list(carried[:num_weights]), list(carried[num_weights:num_carried])
            num_buffers = num_values - num_weights
            loss, new = self._step(own[0], own[1], own[2], weights, rest[:num_buffers], rest[num_buffers:])
            new += self._averaged(list(carried[num_carried:]), new[:num_values], own[2])
            return step + 1, losses.index_copy(0, step.view(1), loss.view(1)), *new

        everything = [*values, *state, *averages]
        start = (torch.zeros((), dtype=torch.int64), torch.zeros(self._max_steps), *everything)
        _, losses, *results = torch.while_loop(unfinished, take_step, start)  # type: ignore[no-untyped-call] # torch's own
        for old, new in zip(everything, results, strict=True):
            old.copy_(new)
        return losses  # type: ignore[no-any-return]

    def _averaged(self, averages: Tensors, values: Tensors, moving: Tensor) -> Tensors:
        """Averages after a step."""
        if self._average is None:
            return []
        return self._average.updated(averages, values, len(self._parameters), moving[-self._average.num_settings :])

    def _step(
        self, x: Tensor, y: Tensor, moving: Tensor, weights: Tensors, buffers: Tensors, state: Tensors
    ) -> tuple[Tensor, Tensors]:
        """Loss of one batch, and weights, buffers and optimiser state after its step."""
        grads, (loss, buffers) = grad_and_value(self._loss, has_aux=True)(weights, buffers, x, y)
        grads = self._clipping.clipped(list(grads))
        weights, state = [weight.clone() for weight in weights], [part.clone() for part in state]  # updated in place
        count = len(weights)
        parts = {key: state[i * count : (i + 1) * count] for i, key in enumerate(self._rule.state)}
        self._rule.update(weights, grads, parts, moving[: self._num_moving])
        return loss.detach(), [*weights, *buffers, *state]

    def _loss(self, weights: Tensors, buffers: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensors]:
        """Loss under these weights, and the buffers after it."""
        buffers = [buffer.clone() for buffer in buffers]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            logits = functional_call(self._network, dict(zip(self._names, [*weights, *buffers], strict=True)), (x,))
        return cross_entropy(logits, y), buffers
