"""Optimiser, learning-rate schedule and gradient clipping, built from the configuration."""

import copy
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_, get_total_norm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from mm_lightning import UserError
from mm_lightning.networks.base import Network

Schedule = LRScheduler | ReduceLROnPlateau
_SET_END = "set trainer.max_steps or max_epochs"


class GradientClipping(NamedTuple):
    """Gradient clipping with the Trainer's settings.

    Args:
        limit: Largest norm of all gradients together, or largest absolute value of each; None or 0 for no clipping.
        algorithm: "norm" (None means the same) or "value".
    """

    limit: float | None = None
    algorithm: str | None = None

    def clip_(self, parameters: Iterable[nn.Parameter]) -> None:
        """Clip the gradients of parameters in place."""
        if not self.limit:
            return
        if self.algorithm == "value":
            clip_grad_value_(parameters, clip_value=self.limit)
        else:
            clip_grad_norm_(parameters, self.limit)

    def clipped(self, gradients: list[Tensor]) -> list[Tensor]:
        """Return clipped gradients; the given tensors stay unchanged."""
        if not self.limit:
            return gradients
        if self.algorithm == "value":
            return [gradient.clamp(-self.limit, self.limit) for gradient in gradients]
        factor = (self.limit / (get_total_norm(gradients) + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_ has it
        return [gradient * factor for gradient in gradients]


class Optimization:
    """Factory of the optimiser of a network and of the learning-rate schedule.

    Args:
        network: The network.
        optimizer: Makes the optimiser of the weights; None for a network that does not learn by gradient.
        lr_scheduler: Makes the schedule of the optimiser, stepped per optimiser step (ReduceLROnPlateau: per epoch).

    Raises:
        UserError: If a network that learns by gradient has no optimiser, or another one has an optimiser.
    """

    def __init__(
        self, network: Network, optimizer: OptimizerCallable | None, lr_scheduler: LRSchedulerCallable | None
    ) -> None:
        name = type(network).__name__
        if network.learning != "gradient":
            if optimizer is not None or lr_scheduler is not None:
                raise UserError(f"{name} does not learn by gradient; leave model.optimizer and model.lr_scheduler out")
        elif optimizer is None:
            raise UserError(f"{name} learns by gradient; give model.optimizer, for example torch.optim.AdamW")
        self._network = network
        self._optimizer = optimizer
        self.lr_scheduler = lr_scheduler

    def __deepcopy__(self, memo: dict[int, Any]) -> "Optimization":
        """The same factory for a copy of the network; the functions may hold what cannot be copied, such as a lock."""
        return Optimization(copy.deepcopy(self._network, memo), self._optimizer, self.lr_scheduler)

    def make_optimizer(self) -> Optimizer:
        """A new optimiser of the network's weights.

        Raises:
            UserError: If torch refuses a setting.
        """
        assert self._optimizer is not None, "a counted network has no optimiser"
        try:
            return self._optimizer(self._network.parameters())
        except ValueError as error:
            raise UserError(f"model.optimizer: {error}") from error

    def make_schedule(self, optimizer: Optimizer, horizon: Callable[[], float]) -> Schedule | None:
        """A new schedule of an optimiser; None for a constant learning rate.

        Args:
            optimizer: The optimiser.
            horizon: Returns the optimiser steps of the whole run, infinity for a run without an end. Called only for a
                schedule that spans the run.

        Raises:
            UserError: If the schedule spans a run without an end or one too short, or torch refuses a setting.
        """
        if self.lr_scheduler is None:
            return None
        try:
            if not _spans_the_run(self.lr_scheduler):
                self._check_step(self.lr_scheduler(self.make_optimizer()))
                return self.lr_scheduler(optimizer)
            steps = horizon()
            if steps == math.inf:
                raise UserError(f"the run has no end for the schedule to reach; {_SET_END}")
            _check_rise(self.lr_scheduler, int(steps))
            schedule = self.lr_scheduler(optimizer, total_steps=int(steps))  # type: ignore[call-arg] # of a partial
            self._check_step(copy.deepcopy(schedule))
            return schedule
        except UserError:
            raise
        except (ValueError, ArithmeticError) as error:
            raise UserError(f"model.lr_scheduler: {error}; change its init_args") from error

    @staticmethod
    def _check_step(schedule: Schedule) -> None:
        """Take one step of a schedule that is thrown away, where torch notices a step_size of 0 or a pct_start of 1."""
        if isinstance(schedule, OneCycleLR):
            schedule.last_epoch = schedule.total_steps - 1
        if not isinstance(schedule, ReduceLROnPlateau):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the schedule steps without the optimiser on purpose
                schedule.step()

    def restart_schedule(self, checkpoint: dict[str, Any], horizon: Callable[[], float]) -> None:
        """Put today's settings and today's schedule, advanced to the checkpoint's step, into a checkpoint.

        torch restores the learning rate with the optimiser's state, so a new one would otherwise be ignored.

        Raises:
            UserError: If the schedule has fewer steps than the checkpoint.
        """
        optimizer = self.make_optimizer()
        schedule = self.make_schedule(optimizer, horizon)
        _refuse_short(getattr(schedule, "total_steps", math.inf), checkpoint["global_step"])
        if schedule is not None and not isinstance(schedule, ReduceLROnPlateau):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the schedule steps without the optimiser on purpose
                for _ in range(checkpoint["global_step"]):
                    schedule.step()
        checkpoint["lr_schedulers"] = [] if schedule is None else [schedule.state_dict()]
        for saved, fresh in zip(
            checkpoint["optimizer_states"][0]["param_groups"], optimizer.state_dict()["param_groups"], strict=True
        ):
            saved.update(fresh)

    def resume(self, checkpoint: dict[str, Any], has_new_settings: bool, num_steps: Callable[[], float]) -> None:
        """Let a checkpoint's schedule have today's settings, and span the run where it is to.

        Args:
            checkpoint: The checkpoint, which is changed.
            has_new_settings: Whether the settings of optimiser or schedule differ from the checkpoint's.
            num_steps: Returns the optimiser steps of the whole run.

        Raises:
            UserError: If the schedule ends before the run.
        """
        spans = self.lr_scheduler is not None and _spans_the_run(self.lr_scheduler)
        saved = [state.get("total_steps") for state in checkpoint["lr_schedulers"]]
        if has_new_settings or (spans and saved != [num_steps()]):
            self.restart_schedule(checkpoint, num_steps)
        check_length(checkpoint["lr_schedulers"], num_steps)


def check_length(states: Iterable[Mapping[str, Any]], num_steps: Callable[[], float]) -> None:
    """Refuse a schedule that ends before the run, where torch fails, and say where one ends later.

    Args:
        states: States of the schedules.
        num_steps: Returns the optimiser steps of the whole run. Called only for a schedule with a length: OneCycleLR.

    Raises:
        UserError: If a schedule ends before the run.
    """
    for length in (state["total_steps"] for state in states if "total_steps" in state):
        steps = num_steps()
        _refuse_short(length, steps)
        if length > steps:
            rank_zero_info(f"the schedule spans {length:,} steps and the run {int(steps):,}: the rate stays high")


def _refuse_short(length: float, num_steps: float) -> None:
    if length < num_steps == math.inf:
        raise UserError(f"model.lr_scheduler has {length} steps, but the run has no end; {_SET_END}")
    if length < num_steps:
        raise UserError(
            f"model.lr_scheduler has {length} steps, but the run has {int(num_steps)} (trainer.max_steps or "
            f"max_epochs), and would go on after the schedule's end; leave its total_steps and epochs out "
            "to follow the run"
        )


def _check_rise(make_schedule: LRSchedulerCallable, num_steps: int) -> None:
    """Refuse a OneCycleLR whose rate rises within the first step: torch divides by the steps after it."""
    share = getattr(make_schedule, "keywords", {}).get("pct_start", math.nan)
    if share * num_steps == 1:
        raise UserError(
            f"model.lr_scheduler: a run of {num_steps} steps is too short for pct_start {share}, with which the rate "
            "rises in one step; raise trainer.max_steps or max_epochs, or change pct_start"
        )


def _spans_the_run(make_schedule: LRSchedulerCallable) -> bool:
    """Whether the schedule takes its length in steps from the run: torch's OneCycleLR without a length of its own."""
    parts = (make_schedule, getattr(make_schedule, "func", None), *getattr(make_schedule, "args", ()))
    is_one_cycle = any(isinstance(part, type) and issubclass(part, OneCycleLR) for part in parts)
    given = getattr(make_schedule, "keywords", {})
    return is_one_cycle and given.get("epochs") is None and given.get("total_steps") is None
