"""The one LightningModule: any network, any optimiser, one loss."""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable, ReduceLROnPlateau
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.vocabulary import make_vocabulary
from mm_lightning.evaluation.loss import DIVERGENCE_FACTOR, NOT_NUMBERS, RunningLoss, item_nll
from mm_lightning.evaluation.split_loss import BY_LABEL, SplitLoss
from mm_lightning.networks.building import NetworkFactory, build, shared
from mm_lightning.training import checkpoint
from mm_lightning.training.block_steps.lightning_counters import (
    Done,
    is_between_steps,
    prepare_restart,
    settle_counters,
    steps_of_fit,
)
from mm_lightning.training.optimization import Optimization, check_length
from mm_lightning.training.processes.collectives import gathered, over_processes
from mm_lightning.training.run_folders import newest_checkpoint
from mm_lightning.training.steppers import Stepper, Steps, default_stepper


class LanguageModel(pl.LightningModule):
    """Language model over characters or words; in names of metrics, char stands for a target of either kind.

    Args:
        alphabet: The characters, or <unk> and the words, taken from the training data or the checkpoint.
        network: The network, for example mm_lightning.networks.MLP.
        optimizer: Any torch optimiser, for example torch.optim.SGD; null for a network that does not learn by gradient.
        labels: How often the training items have each label, by weight, taken from the data or the checkpoint; empty
            for items without labels.
        lr_scheduler: Any torch scheduler, stepped per optimiser step (ReduceLROnPlateau: per epoch); null for a
            constant learning rate. OneCycleLR spans the whole run unless its total_steps is given.

    Raises:
        UserError: If network and optimiser do not suit each other, or the network does not fit in memory.
    """

    def __init__(
        self,
        alphabet: str | list[str],
        network: NetworkFactory,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        labels: dict[str, int] | None = None,
    ) -> None:
        super().__init__()
        labels = self.labels = labels or {}
        self.save_hyperparameters()
        self.vocabulary = make_vocabulary(alphabet)
        self.make_network = shared(network)
        self.network = build(network, len(self.vocabulary), len(self.labels))
        self.optimization = Optimization(self.network, optimizer, lr_scheduler)
        self.train_loss: float | None = None  # the last point of the curve
        self._running_loss = RunningLoss(len(self.vocabulary))
        self.split_loss = SplitLoss(list(self.labels))
        self.use_stepper(default_stepper(self.network))

    @property
    def learns_by_gradient(self) -> bool:
        """Whether an optimiser trains the network."""
        return self.network.learning == "gradient"

    def use_stepper(self, stepper: Stepper) -> None:
        """Let a stepper carry out the steps of the next fit."""
        self.stepper = stepper
        self.automatic_optimization = stepper.is_automatic

    @override
    def configure_optimizers(self) -> OptimizerLRScheduler | None:
        """The injected optimiser and schedule; None for a counted network.

        Raises:
            UserError: If the stepper cannot step them, or the schedule ends before the run.
        """
        if not self.learns_by_gradient:
            return None
        optimizer = self.optimization.make_optimizer()
        num_steps = partial(steps_of_fit, self.trainer)
        schedule = self.optimization.make_schedule(optimizer, num_steps)
        self.stepper.check(optimizer, schedule)
        if schedule is None:
            return optimizer
        if self.trainer.ckpt_path is None:  # a checkpoint says what is done
            check_length([schedule.state_dict()], num_steps)
        config: LRSchedulerConfigType = {"scheduler": schedule, "interval": "step"}
        if isinstance(schedule, ReduceLROnPlateau):
            never = 1 << 62  # epochs between two steps by Lightning; `PlateauSteps` takes them
            config |= {"interval": "epoch", "frequency": never, "monitor": schedule.monitor}
        return {"optimizer": optimizer, "lr_scheduler": config}

    def _is_in_fit(self) -> bool:
        """Whether a Trainer fits the model; a checkpoint can also be opened without one."""
        try:
            return self.trainer.state.fn == TrainerFn.FITTING
        except RuntimeError:
            return False

    @override
    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Carry out the steps of a batch or a block, and return the loss for Lightning to minimise."""
        first = self.global_step + 1
        steps = self.stepper.run(self.trainer, batch)
        if steps is None:
            return None
        self._log_losses(steps, first, is_between_steps(self.trainer))
        return steps.objective

    def _log_losses(self, steps: Steps, first: int, is_whole: bool) -> None:
        """Add the losses of steps, numbered from `first`, to the curve; a step of several batches has one point."""
        every = int(self.trainer.log_every_n_steps)  # type: ignore[attr-defined] # set by a connector
        losses = steps.losses if len(steps.losses) == 1 else steps.losses.tolist()
        for step, (loss, rate) in enumerate(zip(losses, steps.rates, strict=True), first):
            self._running_loss.add(loss)
            if step % every == 0 and is_whole:
                self._log_train_loss(step, rate)

    def _log_train_loss(self, step: int, learning_rate: float) -> None:
        """Log the mean since the last point: one synchronisation with the device per interval, not per step."""
        mean = float(over_processes(self.trainer, self._running_loss.take_mean(), "mean"))
        if not math.isfinite(mean):
            raise self.divergence(f"train/loss became {mean}", step)
        curves = {"train/loss": mean, "train/loss_log10": math.log10(mean) if mean > 0 else -math.inf}
        for logger in self.loggers:  # `self.log` would repeat the last point where a run stops
            logger.log_metrics({**curves, "train/lr": learning_rate}, step)
        self.train_loss = mean

    @override
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Check an epoch before its samples and pictures; stop at the last step, so that Lightning validates it."""
        if self.trainer.is_last_batch:
            self._check_convergence()
        if self.global_step == self.trainer.max_steps:
            self.trainer.should_stop = True

    def _check_convergence(self) -> None:
        """Check that the weights are finite, and that the loss is not far above that of the untrained network.

        Raises:
            UserError: If training has diverged.
        """
        losses = self._running_loss
        if not all(bool(value.isfinite().all()) for value in self.network.state_dict().values()):
            raise self.divergence("the weights are no longer finite")
        if self.trainer.strategy.reduce_boolean_decision(losses.is_divergent, all=False):
            loss = f"train/loss is {losses.mean():.4g}, far above {losses.uniform:.2f} for a uniform guess,"
            raise self.divergence(loss)

    def divergence(self, sign: str, step: int | None = None) -> UserError:
        """The error of diverged training: its sign, the step, and the checkpoint to go on from, if any."""
        path = newest_checkpoint(getattr(self.trainer, "run_folder", None)) or self.trainer.ckpt_path
        remedy = "" if path is None else f" and go on from {checkpoint.describe(Path(path))}"
        sign = f"{sign} at step {step or self.global_step}"
        return UserError(f"{sign}: training diverged; lower the learning rate{remedy}")

    @override
    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Add items to the losses over the split."""
        x, y, tags = batch
        self.split_loss.update(item_nll(self.network, x, y), (y >= 0).sum(1), tags)

    @override
    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        self.validation_step(batch, batch_idx)

    @override
    def on_validation_epoch_end(self) -> None:
        self._log_metrics("val")

    @override
    def on_test_epoch_end(self) -> None:
        self._log_metrics("test")

    def _log_metrics(self, split: str) -> None:
        """Log the exact means over a split."""
        measures = self.split_loss.take(lambda sums: over_processes(self.trainer, sums, "sum"))
        self._check_metric(f"{split}/loss", float(measures["loss"]))
        is_in_fit = self.trainer.state.fn == TrainerFn.FITTING
        for name, value in measures.items():
            if not (is_in_fit and name.startswith(BY_LABEL)):  # curves of many labels would hide the others
                self.log(f"{split}/{name}", value, prog_bar=(split, name) == ("val", "loss"))
        if not is_in_fit:
            if note := getattr(self.trainer.datamodule, "loss_note", ""):  # type: ignore[attr-defined] # of Lightning
                self.print(f"losses {note}")
        else:
            self.log("step", float(self.global_step))  # becomes the x axis, which is else one less
            if self.train_loss is not None:  # for callbacks; per step it would cost more than the step
                self.log("train/loss", self.train_loss, logger=False)

    def _check_metric(self, name: str, loss: float) -> None:
        """Check the loss over a split; note a loss that counts make infinite or that is far above a uniform guess.

        Raises:
            UserError: If the loss is NaN, or infinite without counts.
        """
        guess, is_in_fit = self._running_loss.uniform, self._is_in_fit()
        if math.isinf(loss) and not self.learns_by_gradient:
            rank_zero_info(f"{name} is infinite: the model gives some item probability 0, as unsmoothed counts do")
        elif not math.isfinite(loss):
            raise self.divergence(f"{name} is {loss}") if is_in_fit else UserError(f"{name} is {loss}: {NOT_NUMBERS}")
        elif loss > DIVERGENCE_FACTOR * guess and not is_in_fit:
            rank_zero_info(f"{name} is far above {guess:.2f} for a uniform guess: training had diverged")

    @override
    def predict_step(self, batch: tuple[Callable[[int], Any], int], batch_idx: int) -> Any:
        """One batch of samples."""
        sample, number = batch
        return sample(number)

    @override
    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state of the curve and of the stepper.

        Raises:
            UserError: If training has diverged, before sound weights are overwritten.
        """
        self._check_convergence()
        settle_counters(checkpoint)
        losses = self._running_loss.state_dict(lambda sums: gathered(self.trainer, sums))
        checkpoint.update(train_loss={**losses, "last": self.train_loss}, compiled_steps=self.stepper.is_compiled)

    @override
    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the curve and the stepper of a fit, and apply changed settings of the optimiser to the checkpoint."""
        if not self._is_in_fit():
            return
        self._running_loss.load_state_dict(checkpoint["train_loss"], self.global_rank, self.trainer.world_size)
        self.train_loss = checkpoint["train_loss"].get("last")  # checkpoints of version 0.1 have none
        self.stepper.resume(checkpoint.get("compiled_steps"))
        prepare_restart(self.trainer, checkpoint)
        num_steps = partial(steps_of_fit, self.trainer, Done.at(checkpoint))
        self.optimization.resume(checkpoint, self.has_new_settings(checkpoint), num_steps)

    def has_new_settings(self, checkpoint: dict[str, Any]) -> bool:
        """Whether the settings of optimiser or schedule differ from a checkpoint's."""
        saved = checkpoint["hyper_parameters"]
        return any(saved[key] != self.hparams[key] for key in ("optimizer", "lr_scheduler"))
