"""The file of a study, to which several processes write."""

from pathlib import Path

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from typing_extensions import override

from mm_lightning import UserError

LOCK_TIMEOUT_SECONDS = 60  # wait for another process that is writing
_FILES = {"sqlite": "study.db", "journal": "study.journal"}


class _JournalLock(JournalFileOpenLock):
    """File lock that the system releases when its process is killed; Optuna's lock blocks others for 30 seconds."""

    def __init__(self, path: Path) -> None:
        self._file = FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_SECONDS)

    @override
    def acquire(self) -> bool:
        self._file.acquire()
        return True

    @override
    def release(self) -> None:
        self._file.release()


def open_storage(folder: Path, kind: str) -> BaseStorage:
    """Open the file of a study, or make a new one.

    Raises:
        UserError: If the folder has a study in another kind of file, or the file is damaged.
    """
    for other, name in _FILES.items():
        if other != kind and (folder / name).exists():
            raise UserError(f"storage is {kind}, but the study in {folder} is kept in {other}; set storage: {other}")
    path = folder / _FILES[kind]
    try:
        if kind == "journal":
            return JournalStorage(JournalFileBackend(str(path), lock_obj=_JournalLock(path)))
        engine = {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}}
        return RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs=engine)
    except Exception as error:  # a damaged file fails in many ways, by exceptions of json, sqlite3 and SQLAlchemy too
        raise UserError(f"{path} cannot be read as a study ({str(error).splitlines()[0]}); remove it") from None
