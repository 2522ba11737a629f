"""Content of a checkpoint, of this and of older versions (see `upgrades.py`).

A checkpoint holds tensors and plain data: weights, optimiser, schedule, position in the data, random state, and the
settings that the command line builds the same objects from. The keys in the file are constants of this module, so that
renaming a class loses nothing. Lightning names some states after classes; `lightning_io.py` translates these names.

`callbacks/checkpoints.py` decides when a checkpoint is written.
`module.py` and the `state_dict` of each callback decide on the content.
"""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mm_lightning import UserError
from mm_lightning.files import make_folder, unwritable
from mm_lightning.training.checkpoint.archive import DamagedArchiveError, read_archive, write_archive
from mm_lightning.training.checkpoint.folder import DamagedFolderError, read_folder
from mm_lightning.training.checkpoint.keys import CONFIG_KEY, DATA, FORMAT, FORMAT_KEY, RUN_CONFIG, TRAINED
from mm_lightning.training.checkpoint.schema import SchemaError, check_content, check_size
from mm_lightning.training.checkpoint.trust import NAMED_AS_OWN, foreign_classes, refuse_code
from mm_lightning.training.checkpoint.upgrades import upgraded
from mm_lightning.training.run_folders import no_such_checkpoint

_MAX_WEIGHT = 1e12  # a product of three larger ones overflows in float32
SECTIONS = ("trainer", "last", "samples", "histograms")  # of the configuration, which a resumed run takes over


@dataclass(frozen=True)
class Checkpoint:
    """The settings and the step of a checkpoint's run.

    Args:
        path: The checkpoint's file.
        model: Arguments of the LightningModule.
        data: Arguments of the datamodule.
        config: The whole configuration of the run.
        step: Optimiser steps done.
        epoch: Epochs done.
        is_averaged: Whether the weights are averages, beside which the file has the weights in training.
    """

    path: Path
    model: dict[str, Any]
    data: dict[str, Any]
    config: dict[str, Any]
    step: int
    epoch: int
    is_averaged: bool = False


def read(path: Path, trusted: str = "", how: str = NAMED_AS_OWN) -> Checkpoint:
    """Read the settings of a checkpoint.

    Args:
        path: The file.
        trusted: Text from the user; a class of another package is used only if the text names it.
        how: How a user names it there, as for `refuse_code`.

    Raises:
        UserError: If the file is missing, damaged or of another application, names foreign code, or has weights of
            diverged training.
    """
    content = load(path)
    groups = (content["hyper_parameters"], content["datamodule_hyper_parameters"])
    model, data = ({key: value for key, value in group.items() if not key.startswith("_")} for group in groups)
    refuse_code(model, path, trusted, how)
    _check_weights(content["state_dict"], path)
    _check_weights(content.get(TRAINED, {}), path)
    config = run_config(content, path)
    return Checkpoint(path, model, data, config, content["global_step"], content["epoch"], TRAINED in content)


def run_config(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """The configuration of the run of a checkpoint, by section.

    Raises:
        UserError: If the text is no YAML, or holds no sections.
    """
    text = content["callbacks"][RUN_CONFIG][CONFIG_KEY]
    try:
        config = yaml.safe_load(text)
        check_size(config, len(text))
    except (yaml.YAMLError, SchemaError, ValueError, RecursionError):
        raise UserError(f"{path} is damaged: the configuration of its run cannot be read") from None
    sections = config.items() if isinstance(config, dict) else ((None, None),)
    if not all(isinstance(name, str) and (name not in SECTIONS or isinstance(value, dict)) for name, value in sections):
        raise UserError(f"{path} is damaged: the configuration of its run has no sections")
    return dict(sections)


def save(content: dict[str, Any], path: Path) -> None:
    """Save tensors and plain data; a crash or a full disk leaves the previous checkpoint as it was.

    Raises:
        UserError: If the file cannot be written.
    """
    try:
        make_folder(path.parent)
        write_archive({FORMAT_KEY: FORMAT, **content}, path)
    except (UserError, OSError) as error:
        reason = error if isinstance(error, UserError) else unwritable(path, "checkpoint", error)
        kept = "; the previous checkpoint there is untouched" if path.is_file() else ""
        raise UserError(f"{reason}{kept}") from None


def describe(path: Path) -> str:
    """Path and step of a checkpoint, for a message."""
    return f"{os.path.relpath(path)} (step {load(path)['global_step']})"


def command_to_resume(path: Path) -> str:
    """The command that resumes a run from a checkpoint, for a message.

    Classes of the Trainer, such as callbacks, are not taken from a checkpoint, so they have to be given again.
    """
    config = run_config(load(path), path)
    if any(isinstance(value, dict | list) for value in config.get("trainer", {}).values()):
        return f"the same command with --ckpt_path {shlex.quote(os.path.relpath(path))}"
    return f"python -m mm_lightning fit {arguments(path)}"


def arguments(path: Path) -> str:
    """Command-line arguments that open a checkpoint: its path, and the classes of other packages, to trust them."""
    named = foreign_classes(load(path)["hyper_parameters"])
    shown = shlex.quote(os.path.relpath(path))
    return " ".join([f"--ckpt_path {shown}", *(f"--model.{key} {name}" for key, name in named.items())])


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Put a checkpoint's weights into a module of the same architecture.

    Raises:
        UserError: If the file is missing or damaged, or the weights are not the module's.
    """
    put_weights(module, load(path), path)


def put_weights(module: torch.nn.Module, content: dict[str, Any], path: Path) -> None:
    """Put weights of a checkpoint's content into a module of the same architecture.

    Raises:
        UserError: If the weights are not the module's.
    """
    own, saved = module.state_dict(), content["state_dict"]
    wrong = [name for name in own.keys() & saved.keys() if _kind(own[name]) != _kind(saved[name])]
    try:
        if wrong:
            raise ValueError(f"{wrong[0]} has numbers of another type")
        module.load_state_dict(saved)
    except (RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:  # of torch, or of a counted network
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is damaged: its weights are not of its network ({reason})") from None


def _kind(weight: torch.Tensor) -> tuple[bool, bool]:
    return weight.is_floating_point(), weight.is_complex()


def load_model(model: torch.nn.Module, path: Path, device: torch.device) -> None:
    """Put a checkpoint's weights into a model, move the model to the device and set eval mode."""
    load_weights(model, path)
    model.to(device).eval()


def digest(path: Path) -> str:
    """Digest of the training items, as the datamodule computes it."""
    digest: str = load(path)[DATA]["digest"]
    return digest


def load(path: Path) -> dict[str, Any]:
    """The whole content of a checkpoint, or of the folder of an export, under the keys of this version.

    Raises:
        UserError: If the file is missing or damaged.
    """
    is_folder = path.is_dir()
    try:
        content, num_bytes = read_folder(path) if is_folder else (read_archive(path), path.stat().st_size)
    except FileNotFoundError:
        raise no_such_checkpoint(path) from None
    except DamagedFolderError as error:
        raise UserError(f"{path / str(error)} is damaged or cut short; export the model again") from None
    except (OSError, DamagedArchiveError) as error:
        detail = getattr(error, "strerror", None) or "damaged, cut short, or no checkpoint at all"
        raise UserError(f"{path} cannot be read as a checkpoint: {detail}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, not a checkpoint")
    number = content.get(FORMAT_KEY, 0)
    if type(number) is int and number > FORMAT:
        raise UserError(
            f"{path} was written by a newer version of mm_lightning (format {number}, this one reads up to {FORMAT}); "
            "upgrade mm_lightning"
        )
    model, data = content.get("hyper_parameters"), content.get("datamodule_hyper_parameters")
    if not isinstance(model, dict) or not isinstance(data, dict) or "alphabet" not in model:
        raise UserError(f"{path} is a checkpoint of another application; mm_lightning did not write it")
    try:
        check_size(content, num_bytes)
        content = upgraded(content)
        check_content(content, has_training_state=not is_folder)
    except SchemaError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    return content


def _check_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Refuse weights of diverged training: every later result would be NaN, or an error about something else."""
    for value in weights.values():
        if value.is_floating_point() and not (value.abs() < _MAX_WEIGHT).all():
            raise UserError(f"{path} has weights that are not finite or far too large: its training diverged")
