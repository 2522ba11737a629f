"""Steppers, which carry out the optimiser steps of training: the `Stepper` protocol, single steps, and counting.

The Trainer chooses a stepper once per fit. The LightningModule calls only the stepper to carry out steps.
`block_steps/` has the third stepper, which carries out several steps in one call.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import lightning.pytorch as pl
from torch import Tensor
from torch.optim import Optimizer

from mm_lightning.data.batches import Batch, CountedPart
from mm_lightning.evaluation.loss import cross_entropy, num_targets
from mm_lightning.networks.base import Network
from mm_lightning.networks.counted.counted_network import CountedNetwork
from mm_lightning.training.optimization import Schedule


class Steps(NamedTuple):
    """Losses and learning rates of the optimiser steps in one call.

    Args:
        losses: Loss of each step's batch (n,), in nats per target; none of a batch that is evaluated again.
        rates: Learning rate of each step.
        objective: The loss for Lightning to minimise; None where the steps are already done.
    """

    losses: Tensor
    rates: list[float]
    objective: Tensor | None = None


class Stepper(Protocol):
    """Interface of an object that carries out the optimiser steps of a fit.

    Attributes:
        is_automatic: Whether Lightning runs the backward pass and steps the optimiser.
        is_compiled: Whether the steps are compiled; None while undecided.
    """

    is_automatic: bool
    is_compiled: bool | None

    def run(self, trainer: pl.Trainer, batch: Any) -> Steps | None:
        """Carry out the steps of an element of the loader; None where there is no loss."""
        ...

    def last_batch(self, batch: Any) -> Batch:
        """X and y of the last step in an element of the loader."""
        ...

    def resume(self, was_compiled: bool | None) -> None:
        """Compile or not as the checkpoint's run did, so that the resumed run repeats bit for bit."""
        ...

    def check(self, optimizer: Optimizer, schedule: Schedule | None) -> None:
        """Refuse an optimiser or a schedule that this stepper cannot step.

        Raises:
            UserError: Names the settings that exclude each other.
        """
        ...


class _BatchStepper:
    """Base class of the steppers that take single batches."""

    is_compiled: bool | None = None

    def last_batch(self, batch: Batch) -> Batch:
        """The batch itself."""
        return batch

    def resume(self, was_compiled: bool | None) -> None:
        """Ignore the decision: single steps are never compiled."""

    def check(self, optimizer: Optimizer, schedule: Schedule | None) -> None:
        """Accept every optimiser and every schedule."""


class SingleSteps(_BatchStepper):
    """Stepper with one step per batch, under Lightning's automatic optimisation and with all features of Lightning.

    Args:
        network: The network in training.
    """

    is_automatic = True

    def __init__(self, network: Network) -> None:
        self._network = network
        self._batch_index = -1  # over all epochs, of the last batch

    def run(self, trainer: pl.Trainer, batch: Batch) -> Steps:
        """Compute the loss of a batch, for Lightning to minimise; LBFGS evaluates a batch several times."""
        x, y = batch
        loss = cross_entropy(self._network(x), y) * rank_weight(trainer, y)
        last, self._batch_index = self._batch_index, trainer.fit_loop.total_batch_idx
        if last == self._batch_index:
            return Steps(loss.new_empty(0), [], loss)
        return Steps(loss.detach()[None], [trainer.optimizers[0].param_groups[0]["lr"]], loss)


class CountingSteps(_BatchStepper):
    """Stepper without optimiser steps: a counted network adds every batch to its counts.

    Args:
        network: The network that counts.
    """

    is_automatic = False

    def __init__(self, network: CountedNetwork) -> None:
        self._network = network

    def run(self, trainer: pl.Trainer, batch: Iterator[CountedPart]) -> None:
        """Count the parts of a batch."""
        for part in batch:
            self._network.count(*part)


def default_stepper(network: Network) -> Stepper:
    """The stepper of a network outside of a fit, and of a fit that asks for no blocks."""
    return CountingSteps(network) if isinstance(network, CountedNetwork) else SingleSteps(network)


def rank_weight(trainer: pl.Trainer, y: Tensor) -> Tensor | float:
    """The rank's number of targets over the mean of all ranks.

    DDP averages over ranks, while the loss is a mean over targets. Window batches have as many targets on every rank.
    """
    if trainer.world_size == 1 or y.dim() == 1:
        return 1.0
    targets = num_targets(y).float()
    mean = trainer.strategy.reduce(targets.clone(), reduce_op="mean")  # works in place
    return targets / mean
