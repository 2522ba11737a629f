"""The one LightningModule: any network, any optimiser, one loss."""

import math
from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from torchmetrics import MeanMetric

from mm_lightning import UserError
from mm_lightning.data.batches import Batch, Block
from mm_lightning.data.vocabulary import make_vocabulary
from mm_lightning.evaluation.loss import cross_entropy, item_nll
from mm_lightning.networks.base import CountedNetwork, Network
from mm_lightning.sampling import ConditionalSampler
from mm_lightning.training.block_steps.execution import Execution, count_alike
from mm_lightning.training.optimization import Optimization


def _exact_mean() -> MeanMetric:
    """A mean weighted by targets; NaN stays NaN, where "disable" would drop the weights (torchmetrics 1.9)."""
    return MeanMetric(nan_strategy=math.nan).set_dtype(torch.float64)  # type: ignore[return-value] # itself


class LanguageModel(pl.LightningModule):
    """A language model over characters or words; where figures say char, a target is meant, of either kind.

    Args:
        alphabet: The characters, or <unk> and the words, taken from the training data or the checkpoint.
        network: The network, for example mm_lightning.networks.MLP.
        optimizer: Any torch optimiser, for example torch.optim.SGD; null for a network that is fitted by counting.
        lr_scheduler: Any torch scheduler, stepped per optimiser step (ReduceLROnPlateau: per epoch); null for a
            constant learning rate.

    Raises:
        UserError: If a network that learns by gradient has no optimiser, or one that counts has.
    """

    def __init__(
        self,
        alphabet: str | list[str],
        network: Callable[[int], Network],
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.vocabulary = make_vocabulary(alphabet)
        self.network = network(len(self.vocabulary))
        self.is_counted = isinstance(self.network, CountedNetwork)
        self.automatic_optimization = not self.is_counted
        self.execution: Execution | None = None
        self.scheduled = True  # False leaves the schedule out, where another sets the learning rate
        self.optimization = Optimization(self.network, optimizer, lr_scheduler)
        self._loss_sum = torch.zeros(
            (), dtype=torch.float64
        )  # no buffer, which DDP would overwrite with the first rank's
        self._loss_count = 0
        self.train_loss: float | None = None  # the last one logged
        self.loss = _exact_mean()
        self.loss_unseen = _exact_mean()

    def configure_optimizers(self) -> OptimizerLRScheduler | None:
        """The injected optimiser and scheduler; None for a network that counts."""
        return self.optimization.configuration(self.execution is not None, self.scheduled)

    def on_train_start(self) -> None:
        """Keep the running loss where the losses are."""
        self._loss_sum = self._loss_sum.to(self.device)

    def training_step(self, batch: Batch | Block, batch_idx: int) -> Tensor | None:
        """Mean loss of a batch in the network's own layout, in nats per target.

        None where its steps were carried out here, or where it is only counted.
        """
        x, y = batch
        if self.execution is not None:
            first = self.global_step + 1
            self._note_losses(*self.execution.run(x, y), first)
            return None
        assert isinstance(x, Tensor)
        assert isinstance(y, Tensor)
        if isinstance(self.network, CountedNetwork):
            self.network.count(x, y)
            return None
        loss = cross_entropy(self.network(x), y) * self._share(y)
        self._loss_sum += loss.detach()
        self._loss_count += 1
        step = self.global_step + 1
        if step % self._log_every == 0:
            self._log_train_loss(step, self.trainer.optimizers[0].param_groups[0]["lr"])
        return loss

    def execute(self, execution: Execution | None) -> None:
        """Have batches come in blocks, and the steps of a block carried out by this; None for Lightning's own way."""
        self.execution = execution
        self.automatic_optimization = not self.is_counted and execution is None

    def _share(self, y: Tensor) -> Tensor | float:
        """The rank's targets over the mean of all ranks: DDP averages over ranks, the loss is a mean over targets."""
        if self.trainer.world_size == 1 or y.dim() == 1:  # windows are as many on every rank
            return 1.0
        targets = (y >= 0).sum().float()
        mean = self.trainer.strategy.reduce(targets.clone(), reduce_op="mean")  # works in place
        return targets / mean

    def _note_losses(self, losses: Tensor, rates: list[float], first: int) -> None:
        """Add the losses of a block to the running one, in the order of its steps, the number of the first given."""
        every, total = self._log_every, float(self._loss_sum)
        for step, (loss, rate) in enumerate(zip(losses.tolist(), rates, strict=True), first):
            total += loss
            self._loss_count += 1
            if step % every == 0:
                self._loss_sum.fill_(total)
                self._log_train_loss(step, rate)
                total = 0.0
        self._loss_sum.fill_(total)

    @property
    def _log_every(self) -> int:
        """Steps between two points of the curves."""
        return int(self.trainer.log_every_n_steps)  # type: ignore[attr-defined] # set by a connector

    def _log_train_loss(self, step: int, learning_rate: float) -> None:
        """Log the mean since the last time: one look at the device per interval, not per step."""
        mean = float(self.trainer.strategy.reduce(self._loss_sum / self._loss_count, reduce_op="mean"))
        self._loss_sum.zero_()
        self._loss_count = 0
        if not math.isfinite(mean):
            raise UserError(f"train/loss became {mean} by step {step}: {_DIVERGED}")
        curves = {"train/loss": mean, "train/log10_loss": math.log10(mean) if mean > 0 else -math.inf}
        for logger in self.loggers:  # `self.log` would repeat the last point where a run stops
            logger.log_metrics({**curves, "learning_rate": learning_rate}, step)
        self.train_loss = mean

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Have the last steps validated: Lightning does that in mid-epoch only for a run that is told to stop."""
        if self.global_step == self.trainer.max_steps:
            self.trainer.should_stop = True

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """Count whole words into the metrics, and again those that training did not have."""
        x, y, seen = batch
        nll = item_nll(self.network, x, y)
        targets = (y >= 0).sum(1)
        self.loss.update(nll / targets, targets)
        self.loss_unseen.update((nll / targets)[~seen], targets[~seen])

    def test_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None:
        """As `validation_step`."""
        self.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Log the split's exact means."""
        self._log_metrics("val")

    def on_test_epoch_end(self) -> None:
        """Log the split's exact means."""
        self._log_metrics("test")

    def _log_metrics(self, split: str) -> None:
        loss, unseen = self.loss.compute(), self.loss_unseen.compute()
        self.loss.reset()
        self.loss_unseen.reset()
        if loss.isinf():
            rank_zero_info(
                f"{split}/loss is infinite: the model holds some word impossible, as counts do if unsmoothed"
            )
        self.log(f"{split}/loss", loss, prog_bar=split == "val")
        self.log(f"{split}/perplexity", loss.exp())
        self.log(f"{split}/bits_per_char", loss / math.log(2))
        if not unseen.isnan():  # every word of the split may stand in training too
            self.log(f"{split}/loss_unseen", unseen)
        if self.trainer.state.fn == TrainerFn.FITTING:
            self.log("step", float(self.global_step))  # becomes the x axis, which is else one less
            self.log("hp/val_loss", loss)
            if self.train_loss is not None:  # for callbacks; per step it would cost more than the step
                self.log("train/loss", self.train_loss, logger=False)

    def predict_step(self, batch: tuple[ConditionalSampler, int], batch_idx: int) -> list[str]:
        """Items of one block of draws."""
        sampler, block = batch
        return sampler.sample_batch(block)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the running loss; refuse to put ruined weights over sound ones."""
        if not all(bool(p.isfinite().all()) for p in self.network.parameters()):
            raise UserError(f"the weights are no longer finite at step {self.global_step}: {_DIVERGED}")
        checkpoint["train_loss"] = {"sum": self._loss_sum.clone(), "count": self._loss_count}
        checkpoint["compiled_steps"] = None if self.execution is None else self.execution.compiled

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the running loss back, and let optimiser settings that were changed for the resumed run count."""
        self._loss_sum = checkpoint["train_loss"]["sum"]
        self._loss_count = checkpoint["train_loss"]["count"]
        if self.execution is not None and self.execution.compiled is None:
            self.execution.compiled = checkpoint.get("compiled_steps")  # so that a run goes on as it began, bit for bit
        count_alike(checkpoint)
        saved = checkpoint["hyper_parameters"]
        if any(saved[key] != self.hparams[key] for key in ("optimizer", "lr_scheduler")):
            self.optimization.replace_in(checkpoint)


_DIVERGED = "training diverged; lower the learning rate and go on from an earlier checkpoint, which is untouched"
