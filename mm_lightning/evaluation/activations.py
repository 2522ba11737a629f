"""Activations of a network's layers, recorded by forward hooks."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mm_lightning.networks.base import Network
from mm_lightning.networks.recurrent import Recurrence


@torch.no_grad()
def tanh_activations(network: Network, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """What the tanh units answer (n, H), by name of their layer; of recurrent layers the states of the topmost.

    Args:
        network: The network, in eval mode.
        x: Inputs, as in a training batch.
        y: Their targets; where they are padded, what the units answer is left out.
    """
    found: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            values = output[0] if isinstance(output, tuple) else output  # (N, ..., H) or (B, T, H)
            if values.shape[: y.dim()] == y.shape:
                values = values[y >= 0]
            found.setdefault(f"{name} ({type(module).__name__})", []).append(values.flatten(0, -2).cpu())

        return hook

    modules = [(name, module) for name, module in network.named_modules() if _answers_by_tanh(module)]
    hooks = [module.register_forward_hook(keep(name)) for name, module in modules]
    network(x)
    for hook in hooks:
        hook.remove()
    return {name: torch.cat(values) for name, values in found.items()}


def _answers_by_tanh(module: nn.Module) -> bool:
    """Whether a module's outputs lie between -1 and 1 by a tanh; that of a GRU or LSTM is weighted by its gates."""
    return isinstance(module, nn.Tanh | Recurrence | nn.GRU | nn.LSTM) or getattr(module, "mode", None) == "RNN_TANH"
