"""Paths in the states of callbacks, such as `best_model_path`, relative to the run folder in the file.

So a moved run finds its files again, and a checkpoint that is given away names no folder and no user.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mm_lightning.training import run_folders

_RUN = "run folder:"  # begins a relative path, which no absolute path and no other text does


def relative_paths(states: Any, checkpoint: Path) -> Any:
    """Make all absolute paths in states relative to the run folder of a checkpoint."""
    run = _run(checkpoint)
    return _mapped(states, lambda text: f"{_RUN}{os.path.relpath(text, run)}" if os.path.isabs(text) else text)  # noqa: PTH117


def absolute_paths(states: Any, checkpoint: Path) -> Any:
    """Make the relative paths of `relative_paths` absolute, in the run folder that the checkpoint lies in now."""
    run = _run(checkpoint)
    return _mapped(states, lambda text: os.path.normpath(run / text[len(_RUN) :]) if text.startswith(_RUN) else text)


def _run(checkpoint: Path) -> Path:
    """The run folder, or the folder of a checkpoint that lies in no run folder; without links, as Lightning's paths."""
    return (run_folders.run_of(checkpoint) or checkpoint.parent).resolve()


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Apply a change to every text, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_mapped(key, change): _mapped(inner, change) for key, inner in value.items()}
    return type(value)(_mapped(inner, change) for inner in value) if isinstance(value, list | tuple) else value
