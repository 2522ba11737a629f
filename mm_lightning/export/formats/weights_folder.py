"""The format safetensors: a folder of weights and settings, which opens again in every command of this package."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from mm_lightning import UserError
from mm_lightning.data.lists import split_paths
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.checkpoint.content import SECTIONS
from mm_lightning.training.checkpoint.folder import CONFIG, WEIGHTS
from mm_lightning.training.checkpoint.keys import FORMAT, FORMAT_KEY


def weights_folder(source: Checkpoint) -> dict[str, bytes]:
    """Make the files of the folder, by name; `check_folder` compares them with the checkpoint.

    Args:
        source: The checkpoint.
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
    weights = {name: weight.contiguous().clone() for name, weight in content["state_dict"].items()}
    return {
        WEIGHTS: safetensors.torch.save(weights),
        CONFIG: (json.dumps(config, ensure_ascii=False, indent=1) + "\n").encode(),
    }


def check_folder(folder: Path, source: Checkpoint) -> None:
    """Open a written folder and compare it with the checkpoint.

    Raises:
        UserError: If a weight or a setting differs.
    """
    written, content = checkpoint.load(folder), checkpoint.load(source.path)
    weights, expected = written["state_dict"], content["state_dict"]
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
