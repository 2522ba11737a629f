"""One step of sampling as a program: ids and state in, logits and state out, for any batch and any length.

The state of every network is zeros before the first id, which is the boundary, 0. So a program of another language
begins without a file of initial states. An axis of the state that grows with the item has length 0 at the start.
"""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.networks.base import Network

BATCH, LENGTH, PAST = "batch", "length", "past"  # sizes of a program that are open
_EXAMPLE = {BATCH: 2, LENGTH: 3, PAST: 5}  # different ones, above 1: torch takes 0 and 1 for fixed sizes


@dataclass(frozen=True)
class StatePart:
    """One tensor of a network's state.

    Args:
        axes: Size of each axis, or the name of an open size.
        dtype: Type of the numbers.
    """

    axes: tuple[int | str, ...]
    dtype: torch.dtype

    def zeros(self, sizes: dict[str, int]) -> Tensor:
        """Make the part as it is before the first id, or of other open sizes."""
        shape = [sizes[axis] if isinstance(axis, str) else axis for axis in self.axes]
        return torch.zeros(shape, dtype=self.dtype)


class Step(nn.Module):
    """The function that sampling calls for each token: reads ids and computes the logits of the next id.

    A network with a context has as state the last tokens (B, C). The label is apart from them, so that zeros are the
    boundary under every label.

    Args:
        network: The network, in eval mode and on the CPU.
        vocab_size: Number of ids V.

    Shape: ids (B, T) in [0, V), T at least 1; the state; label (B,) in [0, L) for a network that reads labels -> logits
        (B, V), and the new state.
    """

    def __init__(self, network: Network, vocab_size: int) -> None:
        super().__init__()
        self.network = network
        self.vocab_size = vocab_size
        self.has_labels = network.num_labels > 0
        self.context = network.context

    @override
    def forward(self, ids: Tensor, state: Sequence[Tensor], label: Tensor | None = None) -> tuple[Tensor, ...]:
        offset = 0 if label is None else label[:, None] * self.vocab_size
        if self.context is None:
            logits, after = self.network.advance(ids + offset, tuple(state))
            return logits, *after
        window = torch.cat([*state, ids], 1)[:, -self.context :]
        return self.network.next_logits(window + offset), window

    def state_parts(self) -> list[StatePart]:
        """Find the axes of the state by reading one id, then two."""
        if self.context is not None:
            return [StatePart((BATCH, self.context), torch.int64)]
        states = (self.network.advance(torch.zeros(2, length, dtype=torch.int64), ())[1] for length in (1, 2))
        return [_part(one, two) for one, two in zip(*states, strict=True)]

    def start(self, num_items: int) -> list[Tensor]:
        """Make the state before the first id."""
        return [part.zeros({BATCH: num_items, PAST: 0}) for part in self.state_parts()]

    def labels(self, num_items: int) -> Tensor | None:
        """Make labels (B,) for an example, all different; None for a network that reads none."""
        return torch.arange(num_items) % self.network.num_labels if self.has_labels else None


def _part(one: Tensor, two: Tensor) -> StatePart:
    """Name the axes of a tensor of the state, from its shapes after one id and after two."""
    sizes = [size if size == other else PAST for size, other in zip(one.shape, two.shape, strict=True)]
    return StatePart((BATCH, *sizes[1:]), one.dtype)


def make_step(network: Network, vocab_size: int) -> Step:
    """Make the step of a network whose weights are on the CPU."""
    return Step(network, vocab_size).eval()


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log and the warnings of torch's exporters, which are about their own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


@torch.no_grad()
def program_of(step: Step, format: str) -> ExportedProgram:
    """Trace a step, with open sizes of batch, length and past.

    Args:
        step: The step.
        format: Name of the format, for errors.

    Raises:
        UserError: If torch cannot trace the network.
    """
    parts = step.state_parts()
    step.network.next_logits(torch.zeros(1, 1, dtype=torch.int64))  # a counted network sorts its counts on first use
    ids = torch.zeros(_EXAMPLE[BATCH], _EXAMPLE[LENGTH], dtype=torch.int64)
    dims = {name: Dim(name, min=0) for name in _EXAMPLE}
    ids_axes = {0: dims[BATCH], 1: dims[LENGTH]}
    state_axes = [{i: dims[axis] for i, axis in enumerate(part.axes) if isinstance(axis, str)} for part in parts]
    arguments = [ids, [part.zeros(_EXAMPLE) for part in parts]]
    axes = [ids_axes, state_axes]
    if (label := step.labels(len(ids))) is not None:
        arguments, axes = [*arguments, label], [*axes, {0: dims[BATCH]}]
    try:
        with quiet():
            program = torch.export.export(step, tuple(arguments), dynamic_shapes=tuple(axes), strict=False)
    except Exception as error:  # torch fails in many ways on code that it cannot trace
        raise untraceable(step, format, error) from error
    _forget_origin(program.graph_module)
    return program


def _forget_origin(module: torch.fx.GraphModule) -> None:
    """Remove the lines of code that torch notes for each operation, with paths of this machine."""
    for part in module.modules():
        if isinstance(part, torch.fx.GraphModule):
            part.meta.clear()
            for node in part.graph.nodes:
                for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "custom"):
                    node.meta.pop(key, None)


def untraceable(step: Step, format: str, error: Exception) -> UserError:
    """The error of a network that a format cannot express."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return UserError(
        f"{type(step.network).__name__} cannot be exported as {format} ({reason}); "
        "--format safetensors takes every network"
    )
