"""The format safetensors: a folder of weights and settings, which opens again in every command of this package."""

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.files.lists import split_paths
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.checkpoint.content import SECTIONS
from mm_lightning.training.checkpoint.folder import WEIGHTS_DIGEST
from mm_lightning.training.checkpoint.keys import FORMAT, FORMAT_KEY
from mm_lightning.training.run_folders import SETTINGS, WEIGHTS


def weights_folder(source: Checkpoint) -> dict[str, bytes]:
    """Make the files of the folder by name, and compare the model in them with the checkpoint.

    Args:
        source: The checkpoint.

    Raises:
        UserError: If a weight or a setting differs.
    """
    content = checkpoint.load(source.path)
    config = {
        FORMAT_KEY: FORMAT,
        "model": source.model,
        "data": {**source.data, "path": _names(source.data["path"])},
        "run": {name: _plain(source.config.get(name, {})) for name in SECTIONS},
        "step": source.step,
        "epoch": source.epoch,
        "digest": content[checkpoint.DATA]["digest"],
    }
    if checkpoint.MADE in content:
        config[checkpoint.MADE] = content[checkpoint.MADE]
    weights = safetensors.torch.save(
        {name: weight.contiguous().clone() for name, weight in content["state_dict"].items()}
    )
    config[WEIGHTS_DIGEST] = hashlib.sha256(weights).hexdigest()
    files = {
        WEIGHTS: weights,
        SETTINGS: (json.dumps(config, ensure_ascii=False, indent=1) + "\n").encode(),
    }
    with TemporaryDirectory() as folder:
        for name, file in files.items():
            (Path(folder) / name).write_bytes(file)
        _compare(checkpoint.load(Path(folder)), source, content["state_dict"])
    return files


def _compare(written: dict[str, Any], source: Checkpoint, expected: dict[str, Tensor]) -> None:
    """Compare a written model with the checkpoint.

    Raises:
        UserError: If a weight or a setting differs.
    """
    weights = written["state_dict"]
    is_same = weights.keys() == expected.keys() and all(
        torch.equal(weight, expected[name]) and weight.dtype == expected[name].dtype for name, weight in weights.items()
    )
    settings = {key: value for key, value in written["hyper_parameters"].items() if not key.startswith("_")}
    if not is_same or settings != json.loads(json.dumps(source.model)):
        raise UserError(f"--format safetensors: the files do not open as {source.path} does, so they are not written")


def _names(path: str | list[str]) -> str | list[str]:
    """Names of the data files, without their folders."""
    names = [Path(each).name for each in split_paths(path)]
    return names[0] if len(names) == 1 else names


def _plain(section: dict[str, Any]) -> dict[str, Any]:
    """The numbers and words of a section, without paths and classes."""
    return {
        key: value
        for key, value in section.items()
        if key != "default_root_dir" and (value is None or isinstance(value, bool | int | float) or _is_word(value))
    }


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and not set(value) & set("./\\")
