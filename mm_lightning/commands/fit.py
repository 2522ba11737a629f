"""The fit command: checks before training, training, and the next commands after training."""

import math
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning_utilities.core.rank_zero import rank_zero_info
from torch import nn

from mm_lightning import UserError
from mm_lightning.commands.parts.seeds import ONE_SEED, Seeds, best_loss
from mm_lightning.commands.parts.teacher import Teacher, teach
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.files.lists import split_paths
from mm_lightning.files import remove_partials
from mm_lightning.networks.base import Network, SequenceNetwork, WindowNetwork
from mm_lightning.training import checkpoint, run_folders
from mm_lightning.training.block_steps.lightning_counters import limited_batches, steps_of_run
from mm_lightning.training.callbacks.averaging import averaging_of
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer

_MAX_EPOCHS = 100  # no shipped recipe has more than 80 on its own data, most have under 40


def prepare(
    trainer: Trainer, model: LanguageModel, datamodule: ItemsDataModule, resumed: Checkpoint | None = None
) -> None:
    """Read the data, check that they suit model and Trainer, and set the number of threads. Writes nothing.

    Raises:
        UserError: If the data or the settings cannot be used.
    """
    for name in ("max_steps", "max_epochs", "limit_train_batches"):
        if getattr(trainer, name) == 0:
            raise UserError(f"trainer.{name} is 0, so that nothing would be trained; raise it")
    datamodule.setup("fit")
    _check_inputs(model.network, datamodule.block_size)
    if model.network.learning is None:
        raise UserError(f"{type(model.network).__name__} is made of trained networks; fit trains them one by one")
    if model.network.learning == "counting":
        trainer.check_one_pass(datamodule, resumed)
    if datamodule.batch_size == 1 and any(isinstance(module, nn.BatchNorm1d) for module in model.network.modules()):
        raise UserError(
            "data.batch_size is 1, and batch normalisation needs two examples or more; raise it, or set "
            "--model.network.batch_norm false where the network has this setting"
        )
    if resumed is not None and resumed.is_averaged and averaging_of(trainer) is None:
        raise UserError(
            f"{resumed.path} has averaged weights: give its callback again, as --trainer.callbacks+=EMAWeightAveraging "
            "with its settings, or start a new run from the average with --init_from"
        )
    trainer.choose_threads(model, datamodule.targets_per_step)


def _check_inputs(network: Network, block_size: int | None) -> None:
    """Check that a network reads what the data give, which follows from its argument `block_size`.

    Raises:
        UserError: If an own class names the argument otherwise, or means something else by it.
    """
    name = type(network).__name__
    if isinstance(network, WindowNetwork) and block_size != network.block_size:
        raise UserError(
            f"model.network {name} reads windows of {network.block_size} ids; its constructor must have this number as "
            "its argument block_size (docs/extending.md)"
        )
    if isinstance(network, SequenceNetwork) and block_size is not None:
        raise UserError(
            f"model.network {name} reads whole items, and its argument block_size is that of networks that read "
            "windows; give the argument another name"
        )


def _is_complete(trainer: Trainer, resumed: Checkpoint) -> bool:
    """Say whether a checkpoint's run has reached its end, so that nothing is left to train.

    Raises:
        UserError: If the run has gone beyond the end that the settings give it.
    """
    for name, done, limit in (
        ("trainer.max_steps", resumed.step, trainer.max_steps),
        ("trainer.max_epochs", resumed.epoch, trainer.max_epochs),
    ):
        if limit is None or limit < 0 or done < limit:
            continue
        unit = name.rpartition("_")[2]
        if done > limit:
            raise UserError(f"{resumed.path} has done {done} {unit}, and {name} is {limit}; raise --{name} to go on")
        rank_zero_info(f"{resumed.path} has done its {done} {unit} of {limit}; raise --{name} to go on")
        return True
    return False


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    resumed: Checkpoint | None,
    lock: Callable[[Path], None],
    start: Checkpoint | None = None,
    teacher: Teacher | None = None,
    seeds: Seeds = ONE_SEED,
) -> None:
    """Train what is left of a run, and print the next commands.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        resumed: The checkpoint to resume from, if any. If it is the last of its run, that run is locked already.
        lock: Locks a new run folder until the command ends.
        start: The checkpoint that a new run begins from, if any.
        teacher: The model to learn from, if any.
        seeds: The seeds to train, of which this run has the first.

    Raises:
        UserError: If the data, the settings or the run folder cannot be used.
    """
    seeds.check(trainer, resumed)
    if resumed is not None and trainer.fast_dev_run:  # type: ignore[attr-defined] # set by a connector
        raise UserError(
            f"trainer.fast_dev_run tries a new run, and --ckpt_path {resumed.path} resumes one; leave one out"
        )
    prepare(trainer, model, datamodule, resumed)
    if start is not None:
        begin_from(model, start)
    if teacher is not None:
        shows_bar = trainer.is_global_zero and trainer.progress_bar_callback is not None
        teach(teacher, model, datamodule, shows_bar)
    if resumed is None:
        _describe(trainer, model, datamodule)
    if resumed is not None and _is_complete(trainer, resumed):
        trainer.run_folder = run_folders.run_of(resumed.path)
    else:
        trainer.claim_run(resumed)
        try:
            with seeds.telling_rest():
                _train(trainer, model, datamodule, resumed, lock)
        finally:
            trainer.end_trial()
    if trainer.run_folder is not None:
        _print_next_commands(trainer.run_folder, datamodule.loss_note)


def _describe(trainer: Trainer, model: LanguageModel, datamodule: ItemsDataModule) -> None:
    """Print the sizes of network and data, and a warning where the run is far longer than the data deserve."""
    num_weights = sum(weight.numel() for weight in model.network.parameters())
    num_items, num_batches = len(datamodule.splits.train), datamodule.batches_per_epoch(trainer.world_size)
    rank_zero_info(f"{type(model.network).__name__}: {num_weights:,} weights; {num_items:,} training items")
    num_batches = limited_batches(trainer, num_batches)
    steps = steps_of_run(trainer, num_batches)
    most = max(1, _MAX_EPOCHS * num_batches // trainer.accumulate_grad_batches)
    if model.learns_by_gradient and most < steps < math.inf:
        rank_zero_info(
            f"warning: {int(steps):,} steps are {int(steps * _MAX_EPOCHS / most):,} epochs of {num_items:,} items, "
            f"which the network learns by heart; set --trainer.max_steps {most}, or let the list choose: "
            f"python -m mm_lightning make {shlex.join(_words_of_make(datamodule))}"
        )


def _words_of_make(datamodule: ItemsDataModule) -> list[str]:
    """Arguments of `make` for the same items."""
    item = datamodule.hparams["item"]
    return [*split_paths(datamodule.hparams["path"]), *([] if item is None else ["--data.item", item])]


def begin_from(model: LanguageModel, start: Checkpoint) -> None:
    """Put a checkpoint's weights into a new model.

    Raises:
        UserError: If the network is fitted by counting, or has other weights.
    """
    name, alphabet, path = type(model.network).__name__, model.vocabulary.alphabet, start.path
    if not model.learns_by_gradient:
        raise UserError(f"--init_from {path}: {name} does not learn by gradient; leave it out")
    if (here := list(model.labels)) != (there := list(start.model["labels"])):
        raise UserError(f"--init_from {path} has the labels {there}, and the data here {here}; make them the same")
    larger = checkpoint.shapes_with_one_id_more(model.make_network, len(model.vocabulary), len(here))
    try:
        num_known = checkpoint.begin_from(model.network, larger, alphabet, checkpoint.load(path))
    except checkpoint.OtherNetworkError as error:
        saved, own = (_described(settings) for settings in (start.model["network"], model.hparams["network"]))
        raise UserError(f"--init_from {path} has {saved}, and the network here is {own}: {error}") from None
    rank_zero_info(f"begins from {checkpoint.describe(path)}: {num_known} of {len(alphabet)} tokens are known there")


def _described(network: dict[str, Any]) -> str:
    """A network's settings in short, as MLP(block_size=3)."""
    arguments = ", ".join(f"{key}={value}" for key, value in network.get("init_args", {}).items())
    return f"{network['class_path'].rpartition('.')[2]}({arguments})"


def _train(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    resumed: Checkpoint | None,
    lock: Callable[[Path], None],
) -> None:
    """Train; remove a run without a checkpoint whose training diverges, or ends or fails before its first step.

    Raises:
        UserError: If a limit ends training before its first step.
    """
    ckpt_path = None if resumed is None else str(resumed.path)
    try:
        if trainer.run_folder is not None and (resumed is None or not run_folders.is_last(resumed.path)):
            lock(trainer.run_folder)
        if trainer.run_folder is not None:
            remove_partials(trainer.run_folder)
        trainer.fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
        _check_trained(trainer)
    except BaseException as error:
        if isinstance(error, OSError) and error.filename is None:  # TensorBoard's writer does not name its file
            error.filename = trainer.run_folder
        if isinstance(error, UserError) or trainer.global_step in (0, resumed and resumed.step):
            trainer.discard_run()
        raise


def _check_trained(trainer: Trainer) -> None:
    """Check that a finished training has left a checkpoint; one with fast_dev_run leaves nothing.

    Raises:
        UserError: If it has left none.
    """
    run, is_trial = trainer.run_folder, trainer.fast_dev_run  # type: ignore[attr-defined] # set by a connector
    if run is not None and not is_trial and run_folders.newest_checkpoint(run) is None:
        raise UserError(
            "training ended before its first step, so no run is left; raise its limits, such as trainer.max_time"
        )


def _print_next_commands(run_folder: Path, loss_note: str) -> None:
    """Print where a run's best checkpoint is, or the last if nothing was validated, and the command that samples."""
    loss = best_loss(run_folder)
    name = run_folders.LAST if loss is None else run_folders.BEST
    path = run_folders.checkpoint_of(run_folder, name)
    if path.is_file():
        shown_loss = "" if loss is None else f" (val/loss {loss:.4f}{loss_note and f', {loss_note}'})"
        print(f"{name} checkpoint: {os.path.relpath(path)}{shown_loss}")
        print(f"sample from it:  python -m mm_lightning predict {checkpoint.arguments(path)}")
