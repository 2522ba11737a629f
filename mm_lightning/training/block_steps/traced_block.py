"""A block of optimiser steps as a graph: the traced step, in a loop."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.func import functional_call, grad_and_value
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks.base import Network, Part
from mm_lightning.training.block_steps.averages import LoopAverage
from mm_lightning.training.block_steps.decompositions import DECOMPOSITIONS
from mm_lightning.training.block_steps.optimizer_rules import Rule, Tensors
from mm_lightning.training.block_steps.ragged import PartReader
from mm_lightning.training.optimization import GradientClipping

Arguments = tuple[Tensor, Tensor, Tensor, Tensor, Tensors]  # number of steps, x, y, settings, and what steps update


class Step:
    """One optimiser step as a pure function of a batch, settings, and all tensors that a step updates.

    Args:
        network: The network in training.
        parts: Parts of a batch of items; none for windows.
        rule: Update rule of the optimiser.
        clipping: Gradient clipping.
        average: Average of the weights, if there is one.
        autocast: Whether to compute in bfloat16 under torch's autocast.
    """

    def __init__(
        self,
        network: Network,
        parts: Sequence[Part],
        rule: Rule,
        clipping: GradientClipping,
        average: LoopAverage | None,
        autocast: bool,
    ) -> None:
        self._reader = PartReader(network, parts)
        self._rule = rule
        self._clipping = clipping
        self._average = average
        self._autocast = autocast
        named = dict(network.named_parameters())
        trained = {name: p for name, p in named.items() if p.requires_grad}
        fixed = {name: p for name, p in named.items() if not p.requires_grad}
        self.weights = list(trained.values())
        self.names = [*trained, *fixed, *(name for name, _ in network.named_buffers())]
        self.values = [value.detach() for value in (*self.weights, *fixed.values(), *network.buffers())]
        self.averages = [] if average is None else average.tensors(self.names)

    def __call__(self, x: Tensor, y: Tensor, moving: Tensor, carried: Tensors) -> tuple[Tensor, Tensors]:
        """Loss of one batch, and values, optimiser state and averages after its step.

        Args:
            x: (N, C) or (B, T) inputs.
            y: (N,) or (B, T) targets.
            moving: Settings of the step: those of the optimiser, then those of the average.
            carried: Values, optimiser state and averages; they stay unchanged.
        """
        num_weights, num_values = len(self.weights), len(self.values)
        num_state = num_weights * len(self._rule.state)
        weights, buffers = carried[:num_weights], carried[num_weights:num_values]
        state, averages = carried[num_values : num_values + num_state], carried[num_values + num_state :]
        grads, (loss, buffers) = grad_and_value(self._loss, has_aux=True)(weights, buffers, x, y)
        grads = self._clipping.clipped(_laid_out_as(weights, list(grads)))
        weights, state = [weight.clone() for weight in weights], [part.clone() for part in state]  # updated in place
        parts = {key: state[i * num_weights : (i + 1) * num_weights] for i, key in enumerate(self._rule.state)}
        num_average = 0 if self._average is None else self._average.num_settings
        self._rule.update(weights, grads, parts, moving[: len(moving) - num_average])
        values = [*weights, *buffers]
        if self._average is not None:
            averages = self._average.updated(averages, values, num_weights, moving[-num_average:])
        return loss.detach(), [*values, *state, *averages]

    def _loss(self, weights: Tensors, buffers: Tensors, x: Tensor, y: Tensor) -> tuple[Tensor, Tensors]:
        """Loss under these weights, and the buffers after it."""
        buffers = [buffer.clone() for buffer in buffers]
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            names = (f"network.{name}" for name in self.names)
            named = dict(zip(names, [*weights, *buffers], strict=True))
            logits, targets = functional_call(self._reader, named, (x, y))
        return cross_entropy(logits, targets), buffers

    def trace(self, x: Tensor, y: Tensor, moving: Tensor, carried: Tensors) -> GraphModule:
        """The operations of a step as a graph; torch's random state and all tensors stay as they are."""
        with (
            torch.random.fork_rng(devices=[]),
            torch.no_grad(),
            torch.autocast("cpu", enabled=False),
            _is_compiling(),
        ):
            return make_fx(self, decomposition_table=DECOMPOSITIONS)(x, y, moving, carried)


@contextmanager
def _is_compiling() -> Iterator[None]:
    """Let networks know that they are compiled: `torch.compiler.is_compiling` is then true."""
    before = torch.compiler._is_compiling_flag
    torch.compiler._is_compiling_flag = True
    try:
        yield
    finally:
        torch.compiler._is_compiling_flag = before


def _laid_out_as(weights: Tensors, grads: Tensors) -> Tensors:
    """Gradients in the memory layout of their weights, which a loop's tensors must keep."""
    pairs = zip(weights, grads, strict=True)
    return [g if g.stride() == w.stride() else torch.empty_like(w).copy_(g) for w, g in pairs]


class _Block(nn.Module):
    """A loop of steps, which updates the carried tensors in place.

    Args:
        step: The traced step.
    """

    def __init__(self, step: Callable[[Tensor, Tensor, Tensor, Tensors], tuple[Tensor, Tensors]]) -> None:
        super().__init__()
        self.step = step

    def forward(self, count: Tensor, x: Tensor, y: Tensor, moving: Tensor, carried: Tensors) -> Tensor:
        """Carry out the first `count` steps; returns losses (K,)."""

        def unfinished(number: Tensor, losses: Tensor, *before: Tensor) -> Tensor:
            return number < count

        def take_step(number: Tensor, losses: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
            own = [part.index_select(0, number.view(1)).squeeze(0) for part in (x, y, moving)]
            loss, after = self.step(own[0], own[1], own[2], list(before))
            return number + 1, losses.index_copy(0, number.view(1), loss.view(1)), *after

        start = (torch.zeros((), dtype=torch.int64), torch.zeros(len(x)), *carried)
        _, losses, *results = torch.while_loop(unfinished, take_step, start)  # type: ignore[no-untyped-call] # torch's own
        for old, new in zip(carried, results, strict=True):
            old.copy_(new)
        return losses  # type: ignore[no-any-return]


def export(step: GraphModule, arguments: Arguments) -> ExportedProgram:
    """The block around a traced step, for arguments like these."""
    with torch.no_grad():
        return torch.export.export(_Block(step), arguments, strict=False)
