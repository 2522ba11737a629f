"""The file of a study, to which several processes write."""

import os
from pathlib import Path
from typing import Any

from filelock import FileLock
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.files import sync_folder, unwritable

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


class _JournalFile(JournalFileBackend):
    """File of one line per change. A line that a full disk or a killed process has torn is cut off.

    Optuna appends to the torn line; the study could then never be read again (optuna 5).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._journal_lock = _JournalLock(path)
        super().__init__(str(path), lock_obj=self._journal_lock)
        sync_folder(path.parent)

    @override
    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self._journal_lock.acquire()  # can be held twice by the same process
        try:
            self._cut_torn_line()
            super().append_logs(logs)
        finally:
            self._journal_lock.release()

    def _cut_torn_line(self) -> None:
        with self._path.open("r+b") as file:
            if not file.seek(0, os.SEEK_END):
                return
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.seek(0)
                file.truncate(file.read().rfind(b"\n") + 1)


def open_storage(folder: Path, kind: str) -> BaseStorage:
    """Open the file of a study, or make a new one.

    Raises:
        UserError: If the folder has a study in another kind of file, or the file is damaged or cannot be written.
    """
    for other, name in _FILES.items():
        if other != kind and (folder / name).exists():
            raise UserError(f"storage is {kind}, but the study in {folder} is kept in {other}; set storage: {other}")
    path = folder / _FILES[kind]
    try:
        if kind == "journal":
            return JournalStorage(_JournalFile(path))
        engine = {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}}
        return RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs=engine)
    except OSError as error:
        raise unwritable(path, "study", error) from None
    except Exception as error:  # a damaged file fails in many ways, by exceptions of json, sqlite3 and SQLAlchemy too
        reason = str(error.__cause__ or error).splitlines()[0]
        if "OperationalError" in type(error.__cause__ or error).__name__:  # of the disk, not of the content
            raise UserError(
                f"study: {path} cannot be used ({reason}); make room on the disk, or change the permissions"
            ) from None
        raise UserError(f"{path} cannot be read as a study ({reason}); remove it") from None
