"""Checkpoints as Lightning reads and writes them; no other file of this folder imports Lightning."""

from pathlib import Path
from typing import Any

from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from typing_extensions import override

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.training.checkpoint.content import load, save
from mm_lightning.training.checkpoint.keys import DATA
from mm_lightning.training.checkpoint.paths import absolute_paths

_LIGHTNING_DATA = ItemsDataModule.__qualname__  # Lightning's key for DATA


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
        save({DATA if key == _LIGHTNING_DATA else key: value for key, value in checkpoint.items()}, Path(path))

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
