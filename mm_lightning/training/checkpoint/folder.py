"""A model in a folder, as model hubs take it: weights as safetensors, settings as JSON. `export` writes it.

The folder opens as a checkpoint does. Training cannot go on from the folder, since it lacks the state of the optimiser,
of the data and of the random generators.
"""

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mm_lightning import UserError
from mm_lightning.training.checkpoint.keys import CONFIG_KEY, DATA, FORMAT_KEY, MADE, RUN_CONFIG
from mm_lightning.training.run_folders import SETTINGS, WEIGHTS

WEIGHTS_DIGEST = "weights_sha256"  # key of the settings; safetensors has no checksum of its own
NEEDS_EXTRA = "is not installed; uv sync --extra export, or pip install 'mm-lightning[export]'"


class DamagedFolderError(Exception):
    """Exception for a folder whose files are not sound; the message names the file."""


def read_folder(path: Path) -> tuple[dict[str, Any], int]:
    """Read a model, under the keys that a checkpoint has.

    Returns:
        The content, which has no training state, and the size of the files in bytes.

    Raises:
        DamagedFolderError: If a file is damaged.
        UserError: If the folder holds no model, or the package that reads weights is not installed.
        OSError: If a file cannot be read.
    """
    if not all((path / name).is_file() for name in (WEIGHTS, SETTINGS)):
        raise UserError(
            f"{path} is a folder without {SETTINGS} and {WEIGHTS}; give a .ckpt file, or a folder of export"
        )
    if find_spec("safetensors") is None:
        raise UserError(f"{path / WEIGHTS} needs safetensors, which {NEEDS_EXTRA}")
    import safetensors.torch  # noqa: PLC0415 # an extra

    content, weights = (path / SETTINGS).read_bytes(), (path / WEIGHTS).read_bytes()
    config = _parsed(SETTINGS, lambda: json.loads(content))
    if not isinstance(config, dict) or FORMAT_KEY not in config:
        raise UserError(f"{path / SETTINGS} is of another application; mm_lightning did not write it")
    if config.get(WEIGHTS_DIGEST) != hashlib.sha256(weights).hexdigest():
        raise DamagedFolderError(WEIGHTS)
    made = {MADE: config[MADE]} if MADE in config else {}
    return {
        **made,
        FORMAT_KEY: config[FORMAT_KEY],
        "pytorch-lightning_version": version("lightning"),
        "state_dict": _parsed(WEIGHTS, lambda: safetensors.torch.load(weights)),
        "hyper_parameters": _settings(config.get("model")),
        "datamodule_hyper_parameters": _settings(config.get("data")),
        "global_step": config.get("step"),
        "epoch": config.get("epoch"),
        DATA: {"digest": config.get("digest"), "position": 0},
        "callbacks": {RUN_CONFIG: {CONFIG_KEY: json.dumps(config.get("run"))}},
    }, len(content) + len(weights)


def refuse_to_resume(path: Path) -> None:
    """Refuse a folder as the checkpoint that training goes on from.

    Raises:
        UserError: If the path is a folder.
    """
    if path.is_dir():
        raise UserError(
            f"--ckpt_path {path}: a folder has no state of training; begin a new run with --init_from {path}"
        )


def _parsed(name: str, parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except Exception as error:  # a damaged file fails in many ways
        raise DamagedFolderError(name) from error


def _settings(group: Any) -> Any:
    """Add the key under which Lightning notes the maker of an object, which no command reads."""
    return {"_instantiator": "", **group} if isinstance(group, dict) else group
