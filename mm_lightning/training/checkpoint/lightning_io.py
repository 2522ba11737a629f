"""Checkpoints as Lightning reads and writes them; no other file of this folder imports Lightning.

Paths in the states of callbacks, such as `best_model_path`, are relative to the run folder in the file. So a moved run
finds its files again, and a checkpoint that is given away names no folder and no user.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from typing_extensions import override

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.training import run_folders
from mm_lightning.training.checkpoint.content import load, save
from mm_lightning.training.checkpoint.keys import DATA

_LIGHTNING_DATA = ItemsDataModule.__qualname__  # Lightning's key for DATA
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
        content["callbacks"] = relative_paths(content.get("callbacks", {}), Path(path))
        save(content, Path(path))

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
        content["callbacks"] = absolute_paths(content["callbacks"], Path(path))
        return {_LIGHTNING_DATA if key == DATA else key: value for key, value in content.items()}
