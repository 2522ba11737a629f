"""Optimiser, learning-rate schedule and gradient clipping, built from the configuration."""

import copy
import warnings
from collections.abc import Callable, Iterable
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
            UserError: If the schedule ends before the run, or torch refuses a setting.
        """
        if self.lr_scheduler is None:
            return None
        try:
            if not _spans_the_run(self.lr_scheduler):
                self._check_step(self.lr_scheduler(self.make_optimizer()))
                return self.lr_scheduler(optimizer)
            schedule = _spanning(self.lr_scheduler, optimizer, horizon())
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
        """
        optimizer = self.make_optimizer()
        schedule = self.make_schedule(optimizer, horizon)
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

    def has_new_horizon(self, checkpoint: dict[str, Any], horizon: Callable[[], float]) -> bool:
        """Whether the schedule spans the run, and a checkpoint's schedule spanned another number of steps."""
        if self.lr_scheduler is None or _total_steps(self.lr_scheduler) is not None:
            return False
        saved = [state.get("total_steps") for state in checkpoint["lr_schedulers"]]
        return _spans_the_run(self.lr_scheduler) and saved != [horizon()]


def _spans_the_run(make_schedule: LRSchedulerCallable) -> bool:
    """Whether the schedule is one whose length in steps is that of the run: torch's OneCycleLR."""
    parts = (make_schedule, getattr(make_schedule, "func", None), *getattr(make_schedule, "args", ()))
    is_one_cycle = any(isinstance(part, type) and issubclass(part, OneCycleLR) for part in parts)
    return is_one_cycle and getattr(make_schedule, "keywords", {}).get("epochs") is None


def _total_steps(make_schedule: LRSchedulerCallable) -> int | None:
    """The length that the configuration gives a schedule."""
    result: int | None = getattr(make_schedule, "keywords", {}).get("total_steps")
    return result


def _spanning(make_schedule: LRSchedulerCallable, optimizer: Optimizer, horizon: float) -> Schedule:
    """A schedule that spans the run, or the longer time that the configuration gives it."""
    wanted = _total_steps(make_schedule)
    key = "model.lr_scheduler.init_args.total_steps"
    if wanted is None:
        if horizon == float("inf"):
            raise UserError(f"the run has no end for the schedule to reach; set trainer.max_steps, or {key}")
        return make_schedule(optimizer, total_steps=int(horizon))  # type: ignore[call-arg] # of a partial
    if wanted < horizon < float("inf"):
        raise UserError(
            f"{key} is {wanted}, but the run has {int(horizon)} steps (trainer.max_steps or max_epochs): "
            "the schedule would end before the run; set total_steps to null to follow the run"
        )
    if wanted > horizon:
        rank_zero_info(f"the schedule spans {wanted:,} steps and the run {int(horizon):,}: the rate stays high")
    return make_schedule(optimizer)
