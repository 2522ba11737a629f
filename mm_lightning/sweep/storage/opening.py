"""The choice of the place that keeps a study, by the option `storage`."""

from pathlib import Path

from mm_lightning.sweep.storage.database import DatabaseStore
from mm_lightning.sweep.storage.files import FILE_KINDS, FileStore
from mm_lightning.sweep.storage.store import Store
from mm_lightning.sweep.storage.url import parse_url


def check_storage(storage: str) -> None:
    """Check the option.

    Raises:
        UserError: If the text is neither a kind of file nor the URL of a database.
    """
    if storage not in FILE_KINDS:
        parse_url(storage)


def open_store(folder: Path, storage: str, study_name: str) -> Store:
    """Open the place that keeps a study.

    Args:
        folder: Folder of the results.
        storage: The option.
        study_name: Name of the study in a database.

    Raises:
        UserError: If the place cannot be used.
    """
    if storage in FILE_KINDS:
        return FileStore(folder, storage)
    return DatabaseStore(folder, parse_url(storage), study_name)
