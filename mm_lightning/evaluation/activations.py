"""Outputs of a network's layers, recorded by forward hooks."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mm_lightning.networks.base import Network
from mm_lightning.networks.recurrent import Recurrence


@contextmanager
def recorded_outputs(network: nn.Module, is_wanted: Callable[[nn.Module], bool]) -> Iterator[dict[str, list[Tensor]]]:
    """Record the outputs of layers while a network computes; the hooks are removed at the end.

    Args:
        network: The network.
        is_wanted: Whether a layer's outputs are recorded.

    Yields:
        One output (..., H) per call of a layer, by name of the layer; a recurrent layer's state is left out.
    """
    outputs: dict[str, list[Tensor]] = {}

    def record(name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        outputs.setdefault(name, []).append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as hooks:
        for name, layer in network.named_modules():
            if name and is_wanted(layer):
                hooks.enter_context(layer.register_forward_hook(partial(record, name)))
        yield outputs


@torch.no_grad()
def tanh_activations(network: Network, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Compute the outputs (n, H) of all tanh layers, by name and class of the layer, on the CPU.

    A stack of recurrent layers gives the outputs of its top layer.

    Args:
        network: The network, in eval mode.
        x: Inputs, as in a training batch.
        y: Their targets; outputs at padded targets are left out, but for a window network in a mixture, which
            computes each different window of the padded batch once.
    """
    with recorded_outputs(network, _has_tanh_outputs) as outputs:
        network(x)
    return {
        f"{name} ({type(network.get_submodule(name)).__name__})": torch.cat([_rows(output, y) for output in calls])
        for name, calls in outputs.items()
    }


def _rows(output: Tensor, y: Tensor) -> Tensor:
    """Rows (n, H) of an output (N, ..., H) or (B, T, H) whose targets are not padding."""
    if output.shape[: y.dim()] == y.shape:
        output = output[y >= 0]
    return output.flatten(0, -2).cpu()


def _has_tanh_outputs(layer: nn.Module) -> bool:
    """Whether a tanh bounds the layer's outputs to (-1, 1); a GRU and an LSTM scale them by gates."""
    is_tanh_rnn = isinstance(layer, nn.RNN) and layer.nonlinearity == "tanh"
    return is_tanh_rnn or isinstance(layer, nn.Tanh | Recurrence | nn.GRU | nn.LSTM)
