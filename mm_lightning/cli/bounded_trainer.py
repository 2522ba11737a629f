"""The Trainer with a range for each number: Lightning takes an accumulation of -1, and counts up to 2**70."""

from importlib import import_module
from typing import Any, Literal

from lightning.pytorch.callbacks import Callback

from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.ranges import (
    BatchLimit,
    ClipLimit,
    ClosedFraction,
    Count,
    DeviceCount,
    DeviceIndex,
    EndlessCount,
    LocalFolder,
    NodeCount,
)
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.training.callbacks import Histograms, LastCheckpoint, SampleItems, ValidationMilestones
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


class BoundedTrainer(Trainer):
    """The Trainer of the command line.

    Args:
        devices: Number of devices, or a list of their indices; -1 for all, auto for one, or for those of torchrun.
        num_nodes: Number of machines of a distributed training.
        max_steps: Optimiser steps after which training stops; -1 for no limit.
        max_epochs: Epochs after which training stops; -1 for no limit. Default: 1000, or no limit with max_steps.
        min_steps: Optimiser steps before which no early stopping ends the training.
        min_epochs: Epochs before which no early stopping ends the training.
        limit_train_batches: Batches of an epoch, or their share.
        limit_val_batches: Batches of a validation, or their share; batches under a limit have items of all lengths.
        limit_test_batches: Batches of a test, or their share; batches under a limit have items of all lengths.
        limit_predict_batches: Batches of samples, or their share.
        overfit_batches: Batches to overfit on, or their share: every epoch has the same batches. Limits validations
            alike. 0 for all data.
        val_check_interval: Training batches between two validations, or their share of an epoch.
        check_val_every_n_epoch: Epochs between two validations; null to count val_check_interval across epochs. auto
            validates every epoch of 128 steps or more, and short epochs more and more rarely.
        num_sanity_val_steps: Batches validated before training; -1 for all.
        log_every_n_steps: Optimiser steps between two points of the curves. Default: 50.
        accumulate_grad_batches: Batches whose gradients are added up for one optimiser step.
        gradient_clip_val: Largest norm of the gradients, or largest absolute value; null or 0 for no clipping.
        reload_dataloaders_every_n_epochs: Epochs between two makings of the loaders, which leave the order of the
            batches as it is; 0 for one making.
        default_root_dir: Folder in which lightning_logs lies; null for the current folder.
    """

    def __init__(
        self,
        *args: Any,
        devices: DeviceCount | list[DeviceIndex] | Literal["auto"] = "auto",
        num_nodes: NodeCount = 1,
        max_steps: EndlessCount = -1,
        max_epochs: EndlessCount | None = None,
        min_steps: BatchLimit | None = None,
        min_epochs: BatchLimit | None = None,
        limit_train_batches: BatchLimit | ClosedFraction | None = None,
        limit_val_batches: BatchLimit | ClosedFraction | None = None,
        limit_test_batches: BatchLimit | ClosedFraction | None = None,
        limit_predict_batches: BatchLimit | ClosedFraction | None = None,
        overfit_batches: BatchLimit | ClosedFraction = 0.0,
        val_check_interval: Count | ClosedFraction | None = None,
        check_val_every_n_epoch: Count | Literal["auto"] | None = "auto",
        num_sanity_val_steps: EndlessCount | None = None,
        log_every_n_steps: Count | None = None,
        accumulate_grad_batches: Count = 1,
        gradient_clip_val: ClipLimit | None = None,
        reload_dataloaders_every_n_epochs: BatchLimit = 0,
        default_root_dir: LocalFolder | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            *args,
            devices=devices,
            num_nodes=num_nodes,
            max_steps=max_steps,
            max_epochs=max_epochs,
            min_steps=min_steps,
            min_epochs=min_epochs,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            overfit_batches=overfit_batches,
            val_check_interval=val_check_interval,
            check_val_every_n_epoch=1 if check_val_every_n_epoch == "auto" else check_val_every_n_epoch,
            num_sanity_val_steps=num_sanity_val_steps,
            log_every_n_steps=log_every_n_steps,
            accumulate_grad_batches=accumulate_grad_batches,
            gradient_clip_val=gradient_clip_val,
            reload_dataloaders_every_n_epochs=reload_dataloaders_every_n_epochs,
            default_root_dir=default_root_dir,
            **kwargs,
        )


def validation_callbacks(settings: dict[str, Any]) -> list[Callback]:
    """The callback that makes validations rarer where epochs are short, unless the settings have an interval."""
    is_auto = settings["check_val_every_n_epoch"] == "auto" and settings["val_check_interval"] is None
    return [ValidationMilestones()] if is_auto else []


def trainer_class(commands: list[str]) -> type[BoundedTrainer]:
    """The Trainer with the functions of these commands as methods; some commands are Lightning's own methods."""
    modules = ((name, COMMANDS[name].module) for name in commands)
    return type("Trainer", (BoundedTrainer,), {name: import_module(path).run for name, path in modules if path})


SECTIONS = {  # of a configuration, with the class of each
    "model": LanguageModel,
    "data": ItemsDataModule,
    "trainer": BoundedTrainer,
    "last": LastCheckpoint,
    "samples": SampleItems,
    "histograms": Histograms,
    "sampling": SamplingOptions,
}
