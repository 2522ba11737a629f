"""The data that a checkpoint was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING

from mm_lightning import UserError
from mm_lightning.commands.parts.roles import TrainingItems
from mm_lightning.training import checkpoint

if TYPE_CHECKING:  # Lightning takes seconds to import
    from mm_lightning.data.datamodule import ItemsDataModule


def require_own_data(datamodule: "ItemsDataModule", ckpt_path: str, command: str) -> None:
    """Load all splits, and check that the checkpoint was trained on these items.

    Raises:
        UserError: If the data are missing, unfit or not the checkpoint's.
    """
    try:
        datamodule.setup("test")
    except UserError as error:
        raise UserError(f"{command} needs the training items (--data.path): {error}") from None
    check_own(datamodule, Path(ckpt_path))


def check_own(data: TrainingItems, ckpt_path: Path) -> None:
    """Check that a checkpoint was trained on these items.

    Raises:
        UserError: If the items cannot be read, or are others.
    """
    if checkpoint.digest(ckpt_path) != data.digest:
        raise UserError(
            f"{data.path} (split {data.split}) is not what {ckpt_path} was trained on, so what is new "
            "cannot be told; give its own data with --data.path and --data.split, or leave these out"
        )
