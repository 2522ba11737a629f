"""Several optimiser steps in one call (Keras' `steps_per_execution`), one by one or as a compiled loop.

What Lightning does around a step takes several times as long as a small network's step itself; here it is done once a
block. Its counters go on counting steps, so that limits, intervals, curves and checkpoints mean the same for any K.
"""

from functools import partial
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_warn
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mm_lightning import UserError
from mm_lightning.data.batches import Inputs
from mm_lightning.data.encoding import stack
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks.base import Network
from mm_lightning.training.block_steps.compiled_loop import CompiledSteps, obstacle
from mm_lightning.training.block_steps.optimizer_rules import clip_by_norm, clip_by_value

Steps = tuple[Tensor, list[float]]  # loss in nats per target of each step (n,), and its learning rate

_WORTHWHILE = 50_000  # steps that earn back some 15 seconds of compiling, at 0.3 ms a step


class Execution:
    """Carries out blocks of optimiser steps under Lightning's manual optimisation.

    Args:
        trainer: Lightning's Trainer, one device.
        module: Owns optimiser and schedule.
        network: What is trained.
        max_steps: Most steps of a block, K.
        width: Positions of the longest training word.
        compiled: Whether steps shall be compiled; None decides when the first block comes.
        clip_val: Lightning's `gradient_clip_val`, which it refuses under manual optimisation.
        clip_algorithm: Lightning's `gradient_clip_algorithm`.
    """

    def __init__(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        network: Network,
        max_steps: int,
        width: int,
        compiled: bool | None = None,
        clip_val: float | None = None,
        clip_algorithm: str | None = None,
    ) -> None:
        self.compiled = compiled  # as decided, here or in the part of the run that a checkpoint has
        self._demanded = compiled is True
        self._trainer = trainer
        self._module = module
        self._network = network
        self._max_steps = max_steps
        self._width = width
        self._clip_val = clip_val
        self._clip_algorithm = clip_algorithm
        self._compiled_steps: CompiledSteps | None = None
        self._begun = False

    def steps_ahead(self) -> int:
        """Steps until something wants to see the run: the end of an epoch or of all, a validation, a checkpoint."""
        trainer, progress = self._trainer, self._trainer.fit_loop.epoch_loop.batch_progress
        done, step = progress.current.ready, trainer.global_step
        intervals = [self._max_steps]
        for callback in trainer.callbacks:  # type: ignore[attr-defined] # set by a connector
            name = "_every_n_train_steps" if isinstance(callback, ModelCheckpoint) else "every_n_train_steps"
            intervals.append(getattr(callback, name, 0) or self._max_steps)
        ahead = [every - step % every for every in intervals]
        ahead.append(int(trainer.num_training_batches) - done)
        if trainer.max_steps > 0:
            ahead.append(trainer.max_steps - step)
        if trainer.val_check_batch not in (None, float("inf")):
            every = int(cast(float, trainer.val_check_batch))
            ahead.append(every - (progress.total.ready if trainer.check_val_every_n_epoch is None else done) % every)
        return min(ahead)

    def run(self, xs: Inputs, ys: Inputs) -> Steps:
        """Carry out a block: one step per batch.

        Args:
            xs: Inputs of each step, in the network's layout.
            ys: Targets of each step.

        Raises:
            UserError: If steps shall be compiled, and cannot be.
        """
        self._count_batches(len(xs))
        if not self._begun:
            self._begin(xs, ys)
        compiled = self._compiled_steps
        begun = self._trainer.global_step > 0  # torch's own first step makes its state, and schedules wait for it
        singly = len(xs) if compiled is None else int(not (begun and compiled.ready))
        parts = [self._run_singly(xs[:singly], ys[:singly])] if singly else []
        if compiled is not None and singly < len(xs):
            parts.append(self._run_compiled(compiled, *self._of_one_shape(xs[singly:], ys[singly:])))
        progress = self._trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.total.ready += len(xs)
        progress.total.completed += len(xs)
        return torch.cat([losses for losses, _ in parts]), [rate for _, rates in parts for rate in rates]

    def _run_singly(self, xs: Inputs, ys: Inputs) -> Steps:
        """Steps in torch's own operations; Lightning's take as long again as those of a small network."""
        optimizer, scheduler = self._optimizer, self._scheduler
        losses, rates = [], []
        for x, y in zip(xs, ys, strict=True):
            rates.append(optimizer.param_groups[0]["lr"])
            loss = cross_entropy(self._network(x), y)
            optimizer.zero_grad()
            with torch.autocast(x.device.type, enabled=False):  # which is on around all of a block
                self._update(optimizer, loss)
            torch.clear_autocast_cache()  # it holds the weights of before
            if scheduler is not None:
                scheduler.step()
            losses.append(loss.detach())
        return torch.stack(losses), rates

    def _update(self, optimizer: Optimizer, loss: Tensor) -> None:
        scaler = getattr(self._trainer.precision_plugin, "scaler", None)  # of 16-mixed
        (loss if scaler is None else scaler.scale(loss)).backward()
        if scaler is not None:
            scaler.unscale_(optimizer)
        if self._clip_val:
            self._module.clip_gradients(optimizer, self._clip_val, self._clip_algorithm)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()

    def _of_one_shape(self, xs: Inputs, ys: Inputs) -> tuple[Tensor, Tensor]:
        if isinstance(xs, Tensor) and isinstance(ys, Tensor):
            return xs, ys
        return stack(list(xs), list(ys), self._width)

    def _run_compiled(self, compiled: CompiledSteps, xs: Tensor, ys: Tensor) -> Steps:
        settings, scheduler = [], self._scheduler
        for ahead in range(len(xs)):
            settings.append(compiled.moving_settings(ahead))
            if scheduler is not None:
                scheduler.step()
        losses = compiled(xs, ys, settings)
        return losses, [values[0] for values in settings]

    @property
    def _optimizer(self) -> Optimizer:
        return self._trainer.optimizers[0]

    @property
    def _scheduler(self) -> LRScheduler | None:
        return cast(LRScheduler | None, self._module.lr_schedulers())

    def _count_batches(self, steps: int) -> None:
        """Have Lightning count a batch a step; it has counted one for the block itself, or is going to."""
        loop = self._trainer.fit_loop.epoch_loop
        for tracker in (loop.batch_progress.total, loop.batch_progress.current):
            for stage in ("ready", "started", "processed", "completed"):
                setattr(tracker, stage, getattr(tracker, stage) + steps - 1)
        loop.batch_progress.is_last_batch = loop.batch_progress.current.ready == self._trainer.num_training_batches
        loop._batches_that_stepped += steps - 1

    def _begin(self, xs: Inputs, ys: Inputs) -> None:
        """Compile, or say why not."""
        self._begun = True
        if self.compiled is False:
            return
        precision = str(self._trainer.precision)
        reason = obstacle(self._optimizer, self._scheduler, precision, xs[0].device)
        if reason and self._demanded:
            raise UserError(f"trainer.compile is true, but {reason}; set --trainer.compile false")
        if self.compiled is None and not reason:
            reason = self._cost(xs)
        if reason:
            self.compiled = False
            rank_zero_info(f"steps are not compiled: {reason}")
            return
        self._compile(xs, ys, precision == "bf16-mixed")

    def _cost(self, xs: Inputs) -> str | None:
        """Why compiling would not pay, if so."""
        if not isinstance(xs, Tensor):
            return "it takes minutes for whole words, and pays for small recurrences only (--trainer.compile true)"
        if self._steps_left() < _WORTHWHILE:
            return f"a run of under {_WORTHWHILE:,} steps is done sooner without"
        return None

    def _compile(self, xs: Inputs, ys: Inputs, autocast: bool) -> None:
        clip = None
        if self._clip_val:
            clip = partial(clip_by_value if self._clip_algorithm == "value" else clip_by_norm, limit=self._clip_val)
        time = "a quarter of a minute" if isinstance(xs, Tensor) else f"minutes, for words of {self._width} places,"
        rank_zero_info(f"compiling the step: {time} the first time, a few seconds from then on")
        optimizer = self._optimizer
        try:
            self._compiled_steps = CompiledSteps(
                self._network, optimizer, self._max_steps, *self._of_one_shape(xs, ys), autocast, clip
            )
        except Exception as error:  # the compiler, its cache and torch's tracing fail in too many ways to name
            message = str(error).strip() or type(error).__name__
            rank_zero_warn(f"compiling failed ({message.splitlines()[0]}); going on without")
        self.compiled = self._compiled_steps is not None

    def _steps_left(self) -> float:
        trainer = self._trainer
        if trainer.max_steps > 0:
            return trainer.max_steps - trainer.global_step
        epochs = trainer.max_epochs if trainer.max_epochs is not None else -1
        return epochs * trainer.num_training_batches if epochs > 0 else float("inf")


def count_alike(checkpoint: dict[str, Any]) -> None:
    """Let a checkpoint's counters of automatic and of manual optimisation agree: K may differ when a run goes on."""
    if "loops" not in checkpoint:
        return
    loop, step = checkpoint["loops"]["fit_loop"], checkpoint["global_step"]
    for total in (
        loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]["total"],
        loop["epoch_loop.manual_optimization.optim_step_progress"]["total"],
    ):
        total.update(ready=step, completed=step)
