"""Optimiser steps on a copy of a model, to measure training without changing the model or its run."""

import copy
from collections.abc import Iterable
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from numpy.typing import NDArray
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.batches import Batch
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint.likeness import check_like
from mm_lightning.training.checkpoint.schema import SchemaError
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


class TrialSteps:
    """Optimiser steps of a run, carried out on a copy of its model at a constant learning rate, without a schedule.

    Steps use the device, precision, gradient accumulation and gradient clipping of the Trainer. Dropout uses the
    global random state, which the caller seeds or restores.

    Args:
        trainer: The Trainer, with one device.
        model: The model, which stays unchanged.
        batches: Training batches of one epoch; each further epoch iterates over them again.
        content: Content of a checkpoint, from which the optimiser continues; None for a new optimiser.
    """

    def __init__(
        self,
        trainer: Trainer,
        model: LanguageModel,
        batches: Iterable[Batch],
        content: dict[str, Any] | None = None,
    ) -> None:
        model = copy.deepcopy(model).to(trainer.strategy.root_device)
        if content is not None and checkpoint.TRAINED in content:  # the optimiser's state is not the averages'
            model.load_state_dict(content[checkpoint.TRAINED])
        self._precision = trainer.precision_plugin
        self._accumulated_batches = trainer.accumulate_grad_batches
        self._clipping = trainer.clipping
        self._batches = chain.from_iterable(repeat(batches))
        self.network = model.network.train()
        self._precision.convert_module(self.network)
        self._optimizer = model.optimization.make_optimizer()
        if content is not None:
            self._optimizer.load_state_dict(_optimizer_state(model, content))

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next steps."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate

    def step(self) -> float:
        """Carry out one optimiser step.

        Returns:
            Mean loss of the step's batches in nats per target, under the weights before the step.
        """
        batches = list(islice(self._batches, self._accumulated_batches))
        losses: list[float] = []

        def closure() -> Tensor:  # LBFGS and its kind call it several times a step
            loss = self._backward(batches)
            losses.append(float(loss))
            return loss

        scaler = self._scaler
        if scaler is None:
            self._optimizer.step(closure)  # type: ignore[arg-type] # torch's own closures return tensors
        else:
            closure()
            scaler.step(self._optimizer)
            scaler.update()
        return losses[0]

    def _backward(self, batches: list[Batch]) -> Tensor:
        """Compute the gradients of the batches' mean loss, clipped; return that loss."""
        self._optimizer.zero_grad()
        scaler, losses = self._scaler, []
        for x, y in batches:
            with self._precision.forward_context():
                loss = cross_entropy(self.network(x), y) / len(batches)
            (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
        if scaler is not None:
            scaler.unscale_(self._optimizer)
        self._clipping.clip_(self.network.parameters())
        return torch.stack(losses).sum()

    @property
    def _scaler(self) -> torch.amp.GradScaler | None:
        """Loss scaler of precision 16-mixed."""
        return getattr(self._precision, "scaler", None)


def _optimizer_state(model: LanguageModel, content: dict[str, Any]) -> dict[str, Any]:
    """State of the optimiser in a checkpoint, with the settings of optimiser and schedule that the user changed."""
    content = copy.deepcopy(content)
    if model.has_new_settings(content):
        model.optimization.restart_schedule(content, lambda: _total_steps(content))
    state: dict[str, Any] = content["optimizer_states"][0]
    return state


def check_restorable(model: LanguageModel, path: Path, with_optimizer: bool) -> None:
    """Put a checkpoint's weights into a model, and try its optimiser and schedule on a copy, before a run is touched.

    Args:
        model: The model.
        path: The checkpoint's file.
        with_optimizer: Whether the command goes on with the checkpoint's optimiser, which a folder lacks.

    Raises:
        UserError: If the checkpoint is damaged, or is not one of this network or optimiser.
    """
    content = checkpoint.load(path)
    if checkpoint.TRAINED in content:
        checkpoint.put_weights(model, {**content, "state_dict": content[checkpoint.TRAINED]}, path)
    checkpoint.put_weights(model, content, path)
    if not (model.learns_by_gradient and with_optimizer and "optimizer_states" in content):
        return
    try:
        _try_optimizer(model, content)
    except UserError:
        raise
    except Exception as error:  # torch checks little of a state, and steps fail in many ways
        name = model.hparams["optimizer"]["class_path"].rpartition(".")[2]
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise UserError(
            f"{path} is damaged, or of another optimiser than {name}, which cannot go on from its state ({reason})"
        ) from None


def _try_optimizer(model: LanguageModel, content: dict[str, Any]) -> None:
    """Restore optimiser and schedule for a copy of the network, and step both with gradients of zero."""
    optimization = copy.deepcopy(model.optimization)
    optimizer = optimization.make_optimizer()
    schedule = optimization.make_schedule(optimizer, lambda: _total_steps(content))
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    saved = _optimizer_state(model, content)
    for group in saved["param_groups"]:
        group.update({key: False for key in ("capturable", "fused") if group.get(key)})  # need a GPU
    _step(optimizer)
    fresh = optimizer.state_dict()
    check_like(saved, fresh, "optimizer_states.0")
    if saved["state"] and not saved["state"].keys() >= fresh["state"].keys():
        raise SchemaError("optimizer_states.0.state has not all weights")
    optimizer.load_state_dict(saved)
    _step(optimizer)
    if schedule is None or model.has_new_settings(content):
        return  # the schedule starts anew
    (saved_schedule,) = copy.deepcopy(content["lr_schedulers"])
    check_like(saved_schedule, schedule.state_dict(), "lr_schedulers.0")
    schedule.load_state_dict(saved_schedule)
    if not isinstance(schedule, ReduceLROnPlateau) and schedule.last_epoch < _total_steps(content):
        schedule.step()


def _step(optimizer: torch.optim.Optimizer) -> None:
    optimizer.step(lambda: torch.zeros(()))  # type: ignore[arg-type, return-value] # torch's own closures return tensors


def _total_steps(content: dict[str, Any]) -> float:
    """Optimiser steps that a checkpoint's schedule spans; some beyond those done, for one that spans no number."""
    lengths = [state["total_steps"] for state in content["lr_schedulers"] if "total_steps" in state]
    return float(next(iter(lengths), content["global_step"] + 100))


def update_ratios(trial: TrialSteps, num_steps: int, first_step: int) -> dict[str, NDArray[np.float64]]:
    """Carry out steps and compute log10 of std(update) / std(weight) at each step (n,), by name of the matrix.

    Args:
        trial: Where the steps are carried out.
        num_steps: Number of steps n.
        first_step: Number of the first step in the run.

    Raises:
        UserError: If the weights do not stay finite.
    """
    matrices = {name: p for name, p in trial.network.named_parameters() if p.dim() > 1 and p.requires_grad}
    ratios = np.empty((len(matrices), num_steps))
    for step in range(num_steps):
        before = [p.detach().clone() for p in matrices.values()]
        trial.step()
        for row, (p, old) in enumerate(zip(matrices.values(), before, strict=True)):
            ratios[row, step] = float((p.detach() - old).std(correction=0) / old.std(correction=0))
        if not all(bool(p.isfinite().all()) for p in matrices.values()):
            raise UserError(f"training diverges at step {first_step + step}")
    with np.errstate(divide="ignore"):  # a matrix that stays as it is has log10 -inf
        return dict(zip(matrices, np.log10(ratios), strict=True))
