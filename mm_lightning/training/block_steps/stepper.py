"""Several optimiser steps in one training_step (Keras' `steps_per_execution`), one by one or as a compiled loop.

Lightning's work around a step takes several times as long as a small network's step itself. Here that work is done once
per block.
"""

import itertools
from typing import TYPE_CHECKING

import lightning.pytorch as pl
import torch
from lightning.pytorch.cli import ReduceLROnPlateau
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.optim import LBFGS, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.batches import Batch
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks.base import Network, Part
from mm_lightning.training.block_steps.averages import LoopAverage, average_obstacle, average_step
from mm_lightning.training.block_steps.block_loader import Block, Inputs
from mm_lightning.training.block_steps.lightning_counters import Done, count_batches, count_steps, steps_of_run
from mm_lightning.training.block_steps.ragged import parts_of, stack
from mm_lightning.training.block_steps.settings import BlockSettings, obstacle
from mm_lightning.training.optimization import Schedule
from mm_lightning.training.steppers import Stepper, Steps, rank_weight

if TYPE_CHECKING:
    from mm_lightning.training.block_steps.compiled_loop import CompiledSteps

_BREAK_EVEN_STEPS = 50_000  # steps that earn back 10 to 15 seconds of compiling, at 0.3 ms a step
_BREAK_EVEN_STEPS_PER_POSITION = 2_000  # of a sequence: about 2 seconds of compiling, at 1 ms or more a step
_SMALL_STEP_MULTIPLY_ADDS = 300e6  # in a larger step on sequences, compiled code saves too little


class BlockSteps(Stepper):
    """Stepper that carries out blocks of optimiser steps under Lightning's manual optimisation.

    Args:
        network: The network in training.
        settings: Steps of a block, compilation, gradient clipping.
        reach: (T,) share of the training items that have a target at each position.
    """

    is_automatic = False

    def __init__(self, network: Network, settings: BlockSettings, reach: Tensor) -> None:
        self.is_compiled = settings.compile  # on one device, as decided here or in the run before a checkpoint
        self._network = network
        self._settings = settings
        self._reach = reach
        self._parts: list[Part] = []  # of a compiled batch of items
        self._compiled_steps: CompiledSteps | None = None
        self._has_begun = False

    @override
    def last_batch(self, batch: Block) -> Batch:
        xs, ys = batch
        return xs[-1], ys[-1]

    @override
    def resume(self, was_compiled: bool | None) -> None:
        if self.is_compiled is None:
            self.is_compiled = was_compiled

    @override
    def check(self, optimizer: Optimizer, schedule: Schedule | None) -> None:
        if isinstance(optimizer, LBFGS):
            raise UserError(
                "model.optimizer is LBFGS, which evaluates a batch several times a step; "
                "set --trainer.steps_per_execution 1 or take another optimiser"
            )
        if isinstance(schedule, ReduceLROnPlateau):
            raise UserError(
                "model.lr_scheduler is ReduceLROnPlateau, which looks at a metric each epoch; "
                "set --trainer.steps_per_execution 1 or take another schedule"
            )

    @override
    def run(self, trainer: pl.Trainer, batch: Block) -> Steps:
        """Carry out a block: one step per batch.

        Raises:
            UserError: If `trainer.compile` is true and the steps cannot be compiled.
        """
        xs, ys = batch
        count_batches(trainer, len(xs))
        if not self._has_begun:
            self._begin(trainer, xs, ys)
        compiled = self._compiled_steps
        if compiled is None:
            return self._run_singly(trainer, xs, ys, num_after=0)
        x, y, is_compiled = self._in_one_shape(xs, ys)
        if trainer.global_step == 0 or not compiled.ready:
            is_compiled[0] = False  # torch's own first step makes the optimiser's state, and schedules wait for it
        parts, start = [], 0
        for in_loop, steps in itertools.groupby(is_compiled):
            stop = start + len(list(steps))
            if in_loop:
                parts.append(_run_compiled(compiled, x[start:stop], y[start:stop], _schedule(trainer)))
                count_steps(trainer, stop - start)
            else:
                parts.append(self._run_singly(trainer, xs[start:stop], ys[start:stop], num_after=len(xs) - stop))
            start = stop
        return Steps(torch.cat([part.losses for part in parts]), [rate for part in parts for rate in part.rates])

    def _run_singly(self, trainer: pl.Trainer, xs: Inputs, ys: Inputs, num_after: int) -> Steps:
        """Carry out steps in torch's own operations; Lightning's wrapper takes as long again.

        Args:
            trainer: The Trainer.
            xs: Inputs of each step.
            ys: Targets of each step.
            num_after: Number of steps of the block after these.
        """
        optimizer, schedule = trainer.optimizers[0], _schedule(trainer)
        losses, rates = [], []
        for i, (x, y) in enumerate(zip(xs, ys, strict=True), 1):
            rates.append(optimizer.param_groups[0]["lr"])
            loss = cross_entropy(self._network(x), y) * rank_weight(trainer, y)
            optimizer.zero_grad()
            with torch.autocast(x.device.type, enabled=False):  # autocast is on around the whole block
                self._update(trainer, optimizer, loss)
            torch.clear_autocast_cache()  # it holds the weights from before the update
            if schedule is not None:
                schedule.step()
            losses.append(loss.detach())
            count_steps(trainer, 1)
            average_step(trainer, (x, y), num_left=len(xs) - i + num_after)
        return Steps(torch.stack(losses), rates)

    def _update(self, trainer: pl.Trainer, optimizer: Optimizer, loss: Tensor) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)  # of 16-mixed
        (loss if scaler is None else scaler.scale(loss)).backward()
        if trainer.world_size > 1:
            _average_gradients(trainer, self._network)
        if scaler is not None:
            scaler.unscale_(optimizer)
        self._settings.clipping.clip_(self._network.parameters())
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def _in_one_shape(self, xs: Inputs, ys: Inputs) -> tuple[Tensor, Tensor, list[bool]]:
        """X and y of the batches, each in one tensor; and whether the compiled program has room for each batch."""
        if isinstance(xs, Tensor) and isinstance(ys, Tensor):
            return xs, ys, [True] * len(xs)
        return stack(list(xs), list(ys), self._parts)

    def _begin(self, trainer: pl.Trainer, xs: Inputs, ys: Inputs) -> None:
        """Compile the steps, or say why not."""
        self._has_begun = True
        if self.is_compiled is False:
            return
        if not isinstance(xs, Tensor):
            self._parts = parts_of(self._network, self._reach, len(xs[0]))
        precision = str(trainer.precision)
        reason = average_obstacle(trainer) or obstacle(
            trainer.optimizers[0], _schedule(trainer), precision, xs[0].device, trainer.world_size
        )
        if reason and self._settings.compile:
            raise UserError(f"trainer.compile is true, but {reason}; set --trainer.compile false")
        if self.is_compiled is None and not reason:
            reason = self._cost(trainer, xs)
        if reason:
            if trainer.world_size == 1:  # a run that goes on with one device may be compiled then
                self.is_compiled = False
            rank_zero_info(f"steps are not compiled: {reason}")
            return
        self._compile(trainer, xs, ys, precision == "bf16-mixed")

    def _cost(self, trainer: pl.Trainer, xs: Inputs) -> str | None:
        """Why compiling costs more time than it saves, if so."""
        break_even_steps = _BREAK_EVEN_STEPS
        if not isinstance(xs, Tensor):
            positions = sum(part.rows * (part.stop - part.start) for part in self._parts)
            multiply_adds = self._network.multiply_adds(positions)
            if multiply_adds > _SMALL_STEP_MULTIPLY_ADDS:
                return f"a step of {multiply_adds / 1e6:,.0f} million multiply-adds takes no less time compiled"
            break_even_steps = _BREAK_EVEN_STEPS_PER_POSITION * len(self._reach)
        num_steps = steps_of_run(trainer, trainer.num_training_batches, Done.by(trainer))
        if num_steps - trainer.global_step < break_even_steps:
            return f"a run of under {break_even_steps:,} steps takes less time without"
        return None

    def _compile(self, trainer: pl.Trainer, xs: Inputs, ys: Inputs, has_autocast: bool) -> None:
        from mm_lightning.training.block_steps.compiled_loop import CompiledSteps  # noqa: PLC0415 # imports the compiler

        x, y, _ = self._in_one_shape(xs, ys)
        try:
            steps = CompiledSteps(
                self._network,
                trainer.optimizers[0],
                self._settings.max_steps,
                x,
                y,
                has_autocast,
                self._settings.clipping,
                LoopAverage.of(trainer),
                self._parts,
            )
            if steps.load():
                rank_zero_info("the compiled step is that of an earlier run")
            else:
                time = (
                    "a quarter of a minute or more"
                    if isinstance(xs, Tensor)
                    else f"about a minute, for items of {len(self._reach)} tokens"
                )
                rank_zero_info(f"compiling the step: {time}; later runs load it")
                steps.compile()
            self._compiled_steps = steps
        except Exception as error:  # the compiler, its cache and torch's tracing fail in too many ways to name
            message = str(error).strip() or type(error).__name__
            rank_zero_warn(f"compiling failed ({message.splitlines()[0]}); going on without")
        self.is_compiled = self._compiled_steps is not None


def _average_gradients(trainer: pl.Trainer, network: Network) -> None:
    """Average the gradients over the ranks by one all-reduce; DDP's hooks wait for Lightning's own backward pass."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    flat = trainer.strategy.reduce(torch.cat([gradient.flatten() for gradient in gradients]), reduce_op="mean")
    assert isinstance(flat, Tensor)
    for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def _run_compiled(compiled: "CompiledSteps", x: Tensor, y: Tensor, schedule: LRScheduler | None) -> Steps:
    """Carry out one compiled step for each of x (n, ...) and y (n, ...)."""
    settings = compiled.moving_settings(schedule, len(x))
    return Steps(compiled(x, y, settings), [values[0] for values in settings])


def _schedule(trainer: pl.Trainer) -> LRScheduler | None:
    """The schedule that is stepped per optimiser step; `BlockSteps.check` refuses every other kind."""
    configs = trainer.lr_scheduler_configs
    return configs[0].scheduler if configs else None
