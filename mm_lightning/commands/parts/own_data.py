"""The data that a checkpoint was trained on."""

from pathlib import Path

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.training import checkpoint


def require_own_data(datamodule: ItemsDataModule, ckpt_path: str, command: str) -> None:
    """Load all splits, and check that the checkpoint was trained on these items.

    Raises:
        UserError: If the data are missing, unfit or not the checkpoint's.
    """
    try:
        datamodule.setup("test")
    except UserError as error:
        raise UserError(f"{command} needs the training items (--data.path): {error}") from None
    if checkpoint.digest(Path(ckpt_path)) != datamodule.digest:
        raise UserError(
            f"{datamodule.path} (split {datamodule.split}) is not what {ckpt_path} was trained on, so what is new "
            "cannot be told; give its own data with --data.path and --data.split, or leave these out"
        )
