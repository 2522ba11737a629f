"""The numbers behind the pictures: what the lectures look at to tell whether a network is well."""

import copy
import logging
from collections.abc import Callable, Iterable
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from mm_lightning.batches import Batch
from mm_lightning.module import LanguageModel
from mm_lightning.networks.base import Network
from mm_lightning.networks.recurrent import Recurrence
from mm_lightning.plots import Curve
from mm_lightning.scoring import cross_entropy
from mm_lightning.vocabulary import BOUNDARY
from mm_lightning.words import chunks

Clip = Callable[[Iterable[nn.Parameter]], object]  # limits gradients in place


def most_frequent(stream: NDArray[np.integer], vocab_size: int, count: int) -> NDArray[np.int64]:
    """The ids (n,) that occur most often in a stream of words as EncodedWords has it, in rising order."""
    occurrences = np.bincount(stream, minlength=vocab_size)
    return np.sort(np.argsort(-occurrences, kind="stable")[:count])


def bigram_counts(stream: NDArray[np.integer], vocab_size: int, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often in a stream of words each of these ids (n,) is followed by each (n, n), boundaries counted too."""
    place = np.full(vocab_size, -1)
    place[ids] = np.arange(len(ids))
    counts = np.zeros(len(ids) ** 2, np.int64)
    last = np.array([BOUNDARY], stream.dtype)
    for part in chunks(len(stream)):
        some = place[np.concatenate([last, stream[part]])]
        first, second = some[:-1], some[1:]
        counted = (first >= 0) & (second >= 0)
        counts += np.bincount((first * len(ids) + second)[counted], minlength=len(counts))
        last = stream[part][-1:]
    return counts.reshape(len(ids), len(ids))


def logged_losses(run: Path) -> dict[str, Curve]:
    """`train/loss` and `val/loss` of a run folder's TensorBoard events, what a resumed run did again only once.

    What is not finite or not above 0 has no logarithm and is left out.
    """
    from tensorboard.backend.event_processing import event_accumulator  # noqa: PLC0415 # takes a second

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # that a killed run's last points are hidden is meant
    accumulator = event_accumulator.EventAccumulator(str(run), size_guidance={"scalars": 0})
    accumulator.Reload()
    curves = {}
    for tag in {"train/loss", "val/loss"}.intersection(accumulator.Tags()["scalars"]):
        events = accumulator.Scalars(tag)
        points = dict(sorted((e.step, e.value) for e in events if 0 < e.value < float("inf")))
        if points:
            curves[tag] = Curve(np.array(list(points), np.int64), np.array(list(points.values())))
    return curves


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
        ValueError: If the weights do not stay finite.
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
            raise ValueError(f"training diverges at step {content['global_step'] + step + 1}")
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
