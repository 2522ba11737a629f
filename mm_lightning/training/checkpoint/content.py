"""Content of a checkpoint, of this and of older versions.

A checkpoint holds tensors and plain data: weights, optimiser, schedule, position in the data, random state, and the
settings that the command line builds the same objects from. The keys in the file are constants of this module, so that
renaming a class loses nothing. Lightning names some states after classes; the names are translated where Lightning
reads and writes.

`callbacks/checkpoints.py` decides when a checkpoint is written.
`module.py` and the `state_dict` of each callback decide on the content.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.files import make_folder, unwritable
from mm_lightning.training.checkpoint.archive import DamagedArchiveError, read_archive, write_archive

FORMAT = 1  # version of the content; raise it where an older version would misread a new file
FORMAT_KEY = "mm_lightning_format"  # absent in files of format 0
DATA = "data"  # state of the datamodule
BEST_CHECKPOINT, RANDOM_STATE, RUN_CONFIG = "best_checkpoint", "random_state", "run_config"  # states of callbacks
CONFIG_KEY = "config"  # the whole configuration of the run as YAML, in the state of the callback
_LIGHTNING_DATA = ItemsDataModule.__qualname__  # Lightning's key for DATA
_OLD_DATA = "WordsDataModule"  # keys of version 0.1
_OLD_CALLBACKS = {"BestCheckpoint": BEST_CHECKPOINT, "RandomState": RANDOM_STATE, "RunConfig": RUN_CONFIG}
_OLD_WEIGHTS = {"network.blocks.": "network.layers."}  # of the Transformer
_TRUSTED = ("mm_lightning.networks.", "torch.optim.", "lightning.pytorch.cli.ReduceLROnPlateau")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Atomic writer: a crash or a full disk leaves the previous checkpoint as it was.

    The new file is written beside the target and then renamed. Lightning's own writer uses the system's folder for
    temporary files, often on another disk. Its last step is then a copy, which is not atomic.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save tensors and plain data.

        Raises:
            UserError: If the file cannot be written.
        """
        content = {DATA if key == _LIGHTNING_DATA else key: value for key, value in checkpoint.items()}
        target = Path(path)
        try:
            make_folder(target.parent)
            write_archive({FORMAT_KEY: FORMAT, **content}, target)
        except (UserError, OSError) as error:
            reason = error if isinstance(error, UserError) else unwritable(target, "checkpoint", error)
            kept = "; the previous checkpoint there is untouched" if target.is_file() else ""
            raise UserError(f"{reason}{kept}") from None

    @override
    def load_checkpoint(
        self, path: str | Path, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load a checkpoint of this or an older version, to the CPU.

        Raises:
            UserError: If the file is missing or damaged.
            ValueError: If `weights_only` is False.
        """
        if weights_only is False:
            raise ValueError("checkpoints are plain data; weights_only=False is not supported")
        content = load(Path(path))
        return {_LIGHTNING_DATA if key == DATA else key: value for key, value in content.items()}


@dataclass(frozen=True)
class Checkpoint:
    """The settings and the step of a checkpoint's run.

    Args:
        path: The checkpoint's file.
        model: Arguments of the LightningModule.
        data: Arguments of the datamodule.
        config: The whole configuration of the run; empty if the run was not started from the command line.
        step: Optimiser steps done.
        epoch: Epochs done.
    """

    path: Path
    model: dict[str, Any]
    data: dict[str, Any]
    config: dict[str, Any]
    step: int
    epoch: int


def read(path: Path, trusted: str = "") -> Checkpoint:
    """Read the settings of a checkpoint.

    Args:
        path: The file.
        trusted: Text from the user; a class of another package is used only if the text names it.

    Raises:
        UserError: If the file is missing, damaged, of another application, or names foreign code.
    """
    content = load(path)
    model, data = content.get("hyper_parameters"), content.get("datamodule_hyper_parameters")
    if not isinstance(model, dict) or not isinstance(data, dict) or "alphabet" not in model:
        raise UserError(f"{path} is a checkpoint of another application; mm_lightning did not write it")
    model, data = ({k: v for k, v in group.items() if not k.startswith("_")} for group in (model, data))
    _refuse_code(model, path, trusted)
    try:
        config = yaml.safe_load(content.get("callbacks", {}).get(RUN_CONFIG, {}).get(CONFIG_KEY, "")) or {}
        return Checkpoint(path, model, data, config, int(content["global_step"]), int(content["epoch"]))
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: its configuration or its step cannot be read") from error


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Put a checkpoint's weights into a module of the same architecture."""
    module.load_state_dict(load(path)["state_dict"])


def load_model(model: torch.nn.Module, path: Path, device: torch.device) -> None:
    """Put a checkpoint's weights into a model, move the model to the device and set eval mode."""
    load_weights(model, path)
    model.to(device).eval()


def digest(path: Path) -> str | None:
    """Digest of the training items, as the datamodule computes it; None for a checkpoint without training data."""
    state = load(path).get(DATA, {})
    return str(state["digest"]) if "digest" in state else None


def load(path: Path) -> dict[str, Any]:
    """The whole content of a checkpoint, under the keys of this version.

    Raises:
        UserError: If the file is missing or damaged.
    """
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the .ckpt file inside it")
    try:
        content = read_archive(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such checkpoint") from None
    except (OSError, DamagedArchiveError) as error:
        detail = getattr(error, "strerror", None) or "damaged, cut short, or no checkpoint at all"
        raise UserError(f"{path} cannot be read as a checkpoint: {detail}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, not a checkpoint")
    number = content.get(FORMAT_KEY, 0)
    if isinstance(number, int) and number > FORMAT:
        raise UserError(
            f"{path} was written by a newer version of mm_lightning (format {number}, this one reads up to {FORMAT}); "
            "upgrade mm_lightning"
        )
    return _upgraded(content)


def _upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's content with the keys of older versions renamed."""
    result = {DATA if key == _OLD_DATA else key: value for key, value in content.items()}
    if isinstance(states := result.get("callbacks"), dict):
        result["callbacks"] = {_OLD_CALLBACKS.get(str(key).partition("{")[0], key): states[key] for key in states}
    if isinstance(weights := result.get("state_dict"), dict):
        result["state_dict"] = {_renamed(str(key)): value for key, value in weights.items()}
    return result


def _renamed(weight: str) -> str:
    for old, new in _OLD_WEIGHTS.items():
        if weight.startswith(old):
            return new + weight.removeprefix(old)
    return weight


def _refuse_code(model: dict[str, Any], path: Path, trusted: str) -> None:
    """Refuse settings that could name a class or function outside this application: settings become objects."""
    settings = {key: value for key, value in model.items() if key != "alphabet"}
    _refuse_classes(settings, path, set(re.split(r"[^\w.]+", trusted)))


def _refuse_classes(value: Any, path: Path, trusted: set[str]) -> None:
    """Refuse foreign classes, and every other string with a dot: it could be the import path of a function."""
    if isinstance(value, dict):
        name = str(value.get("class_path", _TRUSTED[0]))
        if not name.startswith(_TRUSTED) and name not in trusted:
            raise UserError(
                f"{path} names {name}, which is not part of this application; "
                "if you trust it, name it with --config or on the command line"
            )
        for key, inner in value.items():
            if key != "class_path":
                _refuse_classes(inner, path, trusted)
                if isinstance(inner, str) and "." in inner:
                    raise UserError(f"{path} sets {key} to {inner}, which could name code to run; it is not opened")
    elif isinstance(value, list | tuple | set):
        for inner in value:
            _refuse_classes({"an element": inner}, path, trusted)
