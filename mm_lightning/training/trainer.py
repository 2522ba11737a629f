"""Lightning's Trainer with run folders, atomic checkpoints, blocks of steps, and one thread for small steps."""

import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher
from lightning_utilities.core.rank_zero import rank_zero_info, rank_zero_only

from mm_lightning import UserError
from mm_lightning.data.batches import EveryExample, TrainBatches
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.ranges import Count
from mm_lightning.networks.parts.bfloat16 import has_bfloat16
from mm_lightning.networks.parts.threads import use_one_thread_if_small
from mm_lightning.training import run_folders
from mm_lightning.training.block_steps.block_loader import BlockLoader
from mm_lightning.training.block_steps.lightning_counters import (
    is_between_steps,
    limited_batches,
    steps_until_next_event,
)
from mm_lightning.training.block_steps.settings import BlockSettings
from mm_lightning.training.block_steps.stepper import BlockSteps
from mm_lightning.training.callbacks.averaging import arrange_averaging, averaging_of, check_averaging
from mm_lightning.training.callbacks.checkpoints import RunCheckpoint, check_validation_interval
from mm_lightning.training.callbacks.milestones import ValidationMilestones
from mm_lightning.training.callbacks.plateau import PlateauSteps
from mm_lightning.training.callbacks.run_loggers import join_run
from mm_lightning.training.checkpoint import Checkpoint, load_model
from mm_lightning.training.checkpoint.lightning_io import AtomicCheckpointIO
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.optimization import GradientClipping
from mm_lightning.training.processes.launcher import use_launcher
from mm_lightning.training.run_folders import CHECKPOINTS, LOGS
from mm_lightning.training.steppers import Stepper, default_stepper

T = TypeVar("T")
_UNKNOWN_METRIC = re.compile(r"Early stopping conditioned on metric `(.*?)` .*following: (.*)", re.DOTALL)


class Trainer(pl.Trainer):
    """Lightning's Trainer with steps in blocks, atomic checkpoints and a run folder for each run.

    Args:
        steps_per_execution: Largest number of optimiser steps in one block. A block saves a small network
            most of Lightning's time per step. Limits, intervals and curves still count optimiser steps, and the weights
            are the same bit for bit unless compiled.
        compile: Whether to compile the steps of a block to one loop; needs steps_per_execution above 1. Weights then
            differ by rounding. null compiles long runs of window networks and of small sequence networks on a CPU. A
            checkpoint keeps the decision.

    Raises:
        UserError: If settings cannot be combined.
    """

    def __init__(self, *args: Any, steps_per_execution: Count = 1, compile: bool | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clipping = GradientClipping(self.gradient_clip_val, self.gradient_clip_algorithm)
        self.blocks = BlockSettings(steps_per_execution, compile, self.clipping)
        self.blocks.check(self)
        check_averaging(self.callbacks)  # type: ignore[attr-defined] # set by a connector
        if steps_per_execution > 1:
            self.gradient_clip_val = None  # Lightning refuses clipping under manual optimisation; the stepper clips
        on_cpu = isinstance(self.accelerator, CPUAccelerator)
        if on_cpu and str(kwargs.get("precision")) in ("16", "16-mixed"):  # Lightning would take bf16 without a word
            raise UserError("trainer.precision 16-mixed needs a GPU; on a CPU use bf16-mixed or 32-true")
        if on_cpu and str(kwargs.get("precision")).startswith("bf16") and not has_bfloat16():
            rank_zero_info(
                f"trainer.precision is {kwargs['precision']}, but this processor has no bfloat16: a step takes ten "
                "times as long as with 32-true, or more"
            )
        if isinstance(self.strategy.launcher, _MultiProcessingLauncher):  # copies hold no open files and locks
            raise UserError(
                f"trainer.strategy {kwargs.get('strategy')} copies this process; set ddp, which starts others"
            )
        self.strategy.checkpoint_io = AtomicCheckpointIO()
        use_launcher(self.strategy)
        self.run_folder: Path | None = None
        self._logs_to_run = kwargs.get("logger") in (None, True)

    @property
    def should_stop(self) -> bool:
        """Whether the run is to end, which it does after a whole optimiser step: so no checkpoint loses gradients."""
        return self._is_to_stop and is_between_steps(self)

    @should_stop.setter
    def should_stop(self, is_to_stop: bool) -> None:
        self._is_to_stop = is_to_stop

    def fit(  # type: ignore[override] # narrower types
        self,
        model: LanguageModel,
        datamodule: ItemsDataModule,
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train a model, from the start or from a checkpoint.

        Args:
            model: The model.
            datamodule: The data.
            ckpt_path: Checkpoint to resume from.
            weights_only: True or None; checkpoints are always read without running code.

        Raises:
            UserError: If validations come within a step, or early stopping watches a metric that there is not.
        """
        check_validation_interval(self, max(1, limited_batches(self, datamodule.batches_per_epoch(self.world_size))))
        model.use_stepper(self._make_stepper(model, datamodule))
        self._arrange_callbacks()
        arrange_averaging(self, model)
        try:
            super().fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=weights_only)
        except RuntimeError as error:
            if unknown := _UNKNOWN_METRIC.match(str(error)):
                raise UserError(f"EarlyStopping: monitor is {unknown[1]}; give one of {unknown[2]}") from None
            raise

    def _arrange_callbacks(self) -> None:
        """Add the steps of a plateau schedule; let milestones decide behind all callbacks that can end the run."""
        callbacks: list[Callback] = self.callbacks  # type: ignore[attr-defined] # set by a connector
        others = [each for each in callbacks if not isinstance(each, PlateauSteps | ValidationMilestones)]
        milestones = [each for each in callbacks if isinstance(each, ValidationMilestones)]
        callbacks[:] = [*others, PlateauSteps(), *milestones]

    def _make_stepper(self, model: LanguageModel, datamodule: ItemsDataModule) -> Stepper:
        """Choose the stepper of a fit, and the loader that the stepper needs."""
        datamodule.make_loader = partial(self._make_loader, model.network.learning == "counting")
        if self.blocks.max_steps == 1:
            return default_stepper(model.network)
        return BlockSteps(model.network, self.blocks, datamodule.examples.reach)

    def _make_loader(self, is_counted: bool, batches: TrainBatches) -> TrainBatches | EveryExample | BlockLoader:
        """Group batches into blocks, and let checkpoints be saved before each."""
        batches.before_batch = self._between_steps
        if is_counted:
            return EveryExample(batches)
        most = self.blocks.max_steps
        return batches if most == 1 else BlockLoader(batches, lambda: steps_until_next_event(self, most))

    def _between_steps(self) -> None:
        for callback in self.callbacks:  # type: ignore[attr-defined] # set by a connector
            if isinstance(callback, RunCheckpoint):
                callback.between_steps(self)

    def choose_threads(self, model: LanguageModel, targets: int) -> None:
        """Set one CPU thread for a step that is too small to share; the variable OMP_NUM_THREADS overrides.

        Args:
            model: The model.
            targets: Number of targets in a step.
        """
        is_on_cpu = isinstance(self.accelerator, CPUAccelerator)
        if is_on_cpu and use_one_thread_if_small(model.network.multiply_adds(targets)):
            rank_zero_info("1 CPU thread: a step is too small to share (OMP_NUM_THREADS overrides)")

    def check_one_pass(self, datamodule: ItemsDataModule, resumed: Checkpoint | None) -> None:
        """Refuse settings under which a counted network would not count every example once.

        Raises:
            UserError: Names the setting, or the checkpoint whose counting is done.
        """
        if resumed is not None:
            raise UserError(f"{resumed.path} is fitted by counting, which is done; start a new fit without --ckpt_path")
        if (averaging := averaging_of(self)) is not None:
            name = type(averaging).__name__
            raise UserError(f"trainer.callbacks has {name}, but counting has no steps to average; leave it out")
        for name, value, wanted in (
            ("data.batch_size", datamodule.batch_size, None),
            ("trainer.max_epochs", self.max_epochs, 1),
            ("trainer.max_steps", self.max_steps, -1),
            ("trainer.steps_per_execution", self.blocks.max_steps, 1),
        ):
            if value != wanted:
                shown = "null" if wanted is None else wanted
                raise UserError(f"{name} is {value}, but counting sees every example once; set it to {shown}")

    @rank_zero_only
    def claim_run(self, resumed: Checkpoint | None) -> None:
        """Claim a run folder: that of the last checkpoint of a run, else a new one.

        Resuming from an earlier checkpoint in the same folder would overwrite the later ones.

        Raises:
            UserError: If the folder cannot be created.
        """
        if resumed is not None and run_folders.is_last(resumed.path):
            self.run_folder = run_folders.run_of(resumed.path)
        else:
            self.run_folder = run_folders.create(Path(self.default_root_dir) / LOGS)
            if resumed is not None:
                rank_zero_info(f"{resumed.path} is not where its run stopped: going on in {self.run_folder}")
        assert self.run_folder is not None
        if self._logs_to_run:
            self.logger = TensorBoardLogger(self.run_folder.parent, name="", default_hp_metric=False)
        for logger in self.loggers:
            join_run(logger, self.run_folder, None if resumed is None else resumed.step)

    def discard_run(self) -> None:
        """Remove the folder of a run without a checkpoint."""
        if self.run_folder is not None and not any((self.run_folder / CHECKPOINTS).glob("*.ckpt")):
            self._remove_run()

    def end_trial(self) -> None:
        """Remove the folder of a run with fast_dev_run, which tries the settings in a few steps and leaves nothing."""
        if self.fast_dev_run:  # type: ignore[attr-defined] # set by a connector
            self._remove_run()

    def _remove_run(self) -> None:
        """Remove the run folder, if there is one; only the first process has one."""
        if self.run_folder is not None:
            shutil.rmtree(self.run_folder)
        self.run_folder = None

    @property
    def share(self) -> tuple[int, int]:
        """Number of this process, and number of processes, which share the work of a run."""
        return self.global_rank, self.world_size

    def load_weights(self, model: torch.nn.Module, path: Path) -> None:
        """Put a checkpoint's weights into a model, move the model to this process's device and set eval mode."""
        load_model(model, path, self.strategy.root_device)

    def in_every_process(self, function: Callable[[], T]) -> T:
        """Call a function in every process of the run, in its precision, after all have been started and have met.

        Returns:
            The result in this process.
        """
        launcher = self.strategy.launcher

        def call() -> T:
            if launcher is not None:
                self.strategy.setup_environment()  # meets the others
            with self.strategy.precision_plugin.forward_context():
                return function()

        result: T = call() if launcher is None else launcher.launch(call, trainer=self)
        return result
