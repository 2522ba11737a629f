"""Optimiser and schedule, made of what the command line injects."""

import warnings
from typing import Any

from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mm_lightning import UserError
from mm_lightning.networks.base import CountedNetwork, Network


class Optimization:
    """How a network is trained.

    Args:
        network: The network.
        optimizer: Makes the optimiser of its weights; None for a network that counts.
        lr_scheduler: Makes the schedule of the optimiser, stepped per optimiser step (ReduceLROnPlateau: per epoch).

    Raises:
        UserError: If a network that learns by gradient has no optimiser, or one that counts has.
    """

    def __init__(
        self, network: Network, optimizer: OptimizerCallable | None, lr_scheduler: LRSchedulerCallable | None
    ) -> None:
        name = type(network).__name__
        if isinstance(network, CountedNetwork):
            if optimizer is not None or lr_scheduler is not None:
                raise UserError(f"{name} is fitted by counting; leave model.optimizer and model.lr_scheduler out")
        elif optimizer is None:
            raise UserError(f"{name} learns by gradient; give model.optimizer, for example torch.optim.AdamW")
        self._network = network
        self._optimizer = optimizer
        self._lr_scheduler = lr_scheduler

    def configuration(self, in_blocks: bool, scheduled: bool = True) -> OptimizerLRScheduler | None:
        """What Lightning wants to know; None for a network that counts.

        Args:
            in_blocks: Whether several steps are carried out in one go.
            scheduled: False leaves the schedule out.

        Raises:
            UserError: If optimiser or schedule cannot be stepped that way.
        """
        if self._optimizer is None:
            return None
        optimizer, scheduler = self._make(scheduled)
        if in_blocks and isinstance(optimizer, LBFGS):
            raise UserError(
                "model.optimizer is LBFGS, which evaluates a batch several times a step; "
                "set --trainer.steps_per_execution 1 or take another optimiser"
            )
        if scheduler is None:
            return optimizer
        plateau = isinstance(scheduler, ReduceLROnPlateau)
        if plateau and in_blocks:
            raise UserError(
                "model.lr_scheduler is ReduceLROnPlateau, which looks at a metric each epoch; "
                "set --trainer.steps_per_execution 1 or take another schedule"
            )
        config: LRSchedulerConfigType = {"scheduler": scheduler, "interval": "epoch" if plateau else "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            config["monitor"] = scheduler.monitor
        return {"optimizer": optimizer, "lr_scheduler": config}

    def replace_in(self, checkpoint: dict[str, Any]) -> None:
        """Put these settings and this schedule, wound on to the checkpoint's step, into a checkpoint's state.

        Torch restores a learning rate with the optimiser's state, so a new one would else be lost without a word.
        """
        optimizer, scheduler = self._make()
        if scheduler is not None and not isinstance(scheduler, ReduceLROnPlateau):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that the optimiser did not step in between is meant
                for _ in range(checkpoint["global_step"]):
                    scheduler.step()
        checkpoint["lr_schedulers"] = [] if scheduler is None else [scheduler.state_dict()]
        for saved, fresh in zip(
            checkpoint["optimizer_states"][0]["param_groups"], optimizer.state_dict()["param_groups"], strict=True
        ):
            saved.update(fresh)

    def make_optimizer(self) -> Optimizer:
        """A new optimiser of the network's weights, without a schedule."""
        assert self._optimizer is not None
        return self._optimizer(self._network.parameters())

    def _make(self, scheduled: bool = True) -> tuple[Optimizer, LRScheduler | ReduceLROnPlateau | None]:
        optimizer = self.make_optimizer()
        return optimizer, self._lr_scheduler(optimizer) if scheduled and self._lr_scheduler is not None else None
