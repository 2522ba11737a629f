"""A block of optimiser steps as one compiled loop.

Gradients come from `torch.func`, and updates are functions. So a step is a pure function of weights, buffers and
optimiser state, and a block is one `torch.while_loop` over steps. torch compiles the block to a loop in C++ whose body
is a single step: compile time does not grow with the block, and a step is the same machine code in every block. A
resumed run has other blocks, and still repeats the uninterrupted run bit for bit.

The step is traced by itself, which takes a tenth of a second. `torch.compile` takes seconds in every run, even where
its cache has the code. So the traced step is exported, and AOTInductor packages it. Every run has this one path, and
its results do not depend on whether the package is new or kept from an earlier run.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mm_lightning import UserError
from mm_lightning.networks.base import Network, Part
from mm_lightning.training.block_steps.averages import LoopAverage
from mm_lightning.training.block_steps.optimizer_rules import rule_of
from mm_lightning.training.block_steps.program_cache import Program, compile_program, key_of, load
from mm_lightning.training.block_steps.traced_block import Arguments, Step, export
from mm_lightning.training.optimization import GradientClipping


class CompiledSteps:
    """Compiled steps of one network and one optimiser; `load` or `compile` comes before the first block.

    Args:
        network: The network in training.
        optimizer: SGD, Adam or AdamW.
        max_steps: Largest number of steps in a block, K.
        x: (n, N, C) or (n, B, T) inputs of any block, for the shapes.
        y: (n, N) or (n, B, T) targets.
        autocast: Whether to compute in bfloat16 under torch's autocast.
        clipping: Gradient clipping.
        average: Average of the weights, if there is one.
        parts: Parts of a batch of items; none for windows.

    Raises:
        Exception: An error of torch's tracing.
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
        parts: Sequence[Part] = (),
    ) -> None:
        self._group = optimizer.param_groups[0]
        self._optimizer = optimizer
        self._max_steps = max_steps
        self._average = average
        self._rule = rule_of(optimizer)
        self._fixed = self._fixed_settings()
        self._step = Step(network, parts, self._rule, clipping, average, autocast)
        self._arguments = self._arguments_of(x[:0], y[:0], [])
        _, xs, ys, moving, carried = self._arguments
        self._graph = self._step.trace(xs[0], ys[0], moving[0], carried)
        self._key = key_of(self._graph, self._arguments)
        self._layout = _layout(self._arguments)
        self._program: Program | None = None

    def load(self) -> bool:
        """Load the program that an earlier run compiled; returns whether there is one."""
        self._program = load(self._key)
        return self._program is not None

    def compile(self) -> None:
        """Compile the program, and keep it for later runs.

        Raises:
            Exception: An error of torch's compiler.
        """
        self._program = compile_program(export(self._graph, self._arguments), self._key)

    @property
    def ready(self) -> bool:
        """Whether the optimiser has the state that its first step creates."""
        return all(part is not None for _, _, part in self._state())

    def moving_settings(self, schedule: LRScheduler | None, num_steps: int) -> list[list[float]]:
        """Advance the schedule; returns the optimiser's settings of the next steps, the learning rate first.

        Args:
            schedule: Schedule of the optimiser.
            num_steps: Number of steps.
        """
        counts = (self._optimizer.state[p].get("step") for p in self._step.weights)
        done = int(next((count for count in counts if count is not None), 0))
        settings = []
        for step in range(done + 1, done + num_steps + 1):
            settings.append(self._rule.moving(step))
            if schedule is not None:
                schedule.step()
        return settings

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
        assert self._program is not None, "compile comes first"
        for key, value in self._fixed_settings().items():
            if value != self._fixed[key]:
                raise UserError(
                    f"the schedule changed the optimiser's {key} from {self._fixed[key]} to {value}, "
                    "which compiled steps cannot follow; set --trainer.compile false"
                )
        if self._average is not None:
            settings = [[*row, *own] for row, own in zip(settings, self._average.plan(len(x)), strict=True)]
        arguments = self._arguments_of(x, y, settings)
        assert _layout(arguments) == self._layout, "the program reads tensors as they lay when it was traced"
        with torch.no_grad():
            return self._program(*arguments)[: len(x)]

    def _fixed_settings(self) -> dict[str, Any]:
        return {key: value for key, value in self._group.items() if key not in ("params", "lr", "betas")}

    def _arguments_of(self, x: Tensor, y: Tensor, settings: list[list[float]]) -> Arguments:
        """Arguments of the program: number of steps, inputs, targets, settings (K, ...), and what a step updates."""
        num_settings = len(self._rule.moving(1)) + (0 if self._average is None else self._average.num_settings)
        moving = torch.zeros(self._max_steps, num_settings)
        if settings:
            moving[: len(x)] = torch.tensor(settings)
        state = [self._blank(key, p) if part is None else part for key, p, part in self._state()]
        carried = [*self._step.values, *state, *self._step.averages]
        return torch.tensor(len(x)), self._full(x), self._full(y), moving, carried

    def _state(self) -> list[tuple[str, Tensor, Tensor | None]]:
        """Name, weight and tensor of each part of the optimiser's state; None for a part not yet created."""
        return [(key, p, self._optimizer.state[p].get(key)) for key in self._rule.state for p in self._step.weights]

    @staticmethod
    def _blank(key: str, weight: Tensor) -> Tensor:
        """A zero part of the optimiser's state."""
        return torch.zeros(()) if key == "step" else torch.zeros_like(weight)

    def _full(self, inputs: Tensor) -> Tensor:
        """Pad inputs (n, ...) to K steps, in one memory layout, so that one program serves every block."""
        if len(inputs) == self._max_steps:
            return inputs.contiguous()
        return torch.cat([inputs, inputs.new_zeros(self._max_steps - len(inputs), *inputs.shape[1:])])


def _layout(arguments: Arguments) -> list[tuple[Any, ...]]:
    """Type, shape and strides of each tensor."""
    *single, carried = arguments
    return [(part.dtype, part.shape, part.stride()) for part in (*single, *carried)]
