"""The file of a study, which several processes write."""

from pathlib import Path

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from mm_lightning import UserError

PATIENCE = 60  # seconds to wait for another process that is writing
_FILES = {"sqlite": "study.db", "journal": "study.journal"}


class _JournalLock(JournalFileOpenLock):
    """A lock that the system releases when its process is killed; Optuna's own then holds others up for 30 seconds."""

    def __init__(self, path: Path) -> None:
        self._file = FileLock(f"{path}.lock", timeout=PATIENCE)

    def acquire(self) -> bool:
        """Wait for the file."""
        self._file.acquire()
        return True

    def release(self) -> None:
        """Let others write."""
        self._file.release()


def open_storage(folder: Path, kind: str) -> BaseStorage:
    """Open the file of a study.

    Raises:
        UserError: If the study is kept in another kind of file, or this one is damaged.
    """
    for other, name in _FILES.items():
        if other != kind and (folder / name).exists():
            raise UserError(f"storage is {kind}, but the study in {folder} is kept in {other}; set storage: {other}")
    path = folder / _FILES[kind]
    try:
        if kind == "journal":
            return JournalStorage(JournalFileBackend(str(path), lock_obj=_JournalLock(path)))
        waiting = {"connect_args": {"timeout": PATIENCE}}
        return RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs=waiting)
    except Exception as error:  # a damaged file fails in as many ways as there are bytes
        raise UserError(f"{path} cannot be read as a study ({str(error).splitlines()[0]}); remove it") from None
