"""A study in a file, whose workers run on one machine, or share the folder.

A worker holds a lock for each of its trials, which the system releases however the worker ends.
"""

import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.files import sync_folder, unwritable
from mm_lightning.sweep.storage.store import LOCK_TIMEOUT_SECONDS, Store, make_study_folder, reason_of

FILE_KINDS = ("journal", "sqlite")


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


class FileStore(Store):
    """A file in the folder of the study.

    Args:
        folder: The folder; made if it does not exist.
        kind: One of `FILE_KINDS`.

    Raises:
        UserError: If the folder has a study in another kind of file, or the file is damaged or cannot be written.
    """

    abandonment = "its process ended"
    removal = "remove the folder"

    def __init__(self, folder: Path, kind: str) -> None:
        self._running = folder / "running"
        self._held: dict[int, FileLock] = {}
        make_study_folder(self._running)
        super().__init__(folder, kind)
        self.lock = self.folder_lock
        with self.lock:
            self.storage = _open(self._file, kind)

    @property
    @override
    def place(self) -> str:
        return str(self._folder)

    @override
    def remedy(self) -> str:
        return "make room on the disk, or change the permissions"

    @override
    def claim(self, number: int) -> None:
        self._held[number] = FileLock(self._lock_file(number), timeout=0)
        self._held[number].acquire()

    @override
    def release(self, number: int) -> None:
        if lock := self._held.pop(number, None):
            lock.release()
        self._lock_file(number).unlink(missing_ok=True)

    @override
    def abandoned(self, running: list[int]) -> list[int]:
        result = []
        for number in running:
            with suppress(Timeout), FileLock(self._lock_file(number), timeout=0):
                result.append(number)
        self._remove_locks_of_ended(running)
        return result

    def _remove_locks_of_ended(self, running: list[int]) -> None:
        """Remove the locks of workers that were killed between the end of their trial and its release."""
        for path in self._running.glob("*.lock"):
            if int(path.stem) not in running:
                with suppress(Timeout), FileLock(path, timeout=0):
                    path.unlink(missing_ok=True)

    @override
    def heartbeats(self) -> dict[int, datetime | None]:
        return {}

    @override
    def bind(self, study: optuna.Study) -> None:
        """The folder holds the study itself."""

    @override
    def close(self) -> None:
        """Files are open only while they are read or written."""

    def _lock_file(self, number: int) -> Path:
        return self._running / f"{number}.lock"


def _open(path: Path, kind: str) -> BaseStorage:
    """Open the file of a study, or make a new one.

    Raises:
        UserError: If the file is damaged or cannot be written.
    """
    try:
        if kind == "journal":
            return JournalStorage(_JournalFile(path))
        engine = {"connect_args": {"timeout": LOCK_TIMEOUT_SECONDS}}
        return RDBStorage(f"sqlite:///{path.absolute()}", engine_kwargs=engine)
    except OSError as error:
        raise unwritable(path, "study", error) from None
    except Exception as error:  # a damaged file fails in many ways, by exceptions of json, sqlite3 and SQLAlchemy too
        if "OperationalError" in type(error.__cause__ or error).__name__:  # of the disk, not of the content
            raise UserError(
                f"study: {path} cannot be used ({reason_of(error)}); make room on the disk, or change the permissions"
            ) from None
        raise UserError(f"{path} cannot be read as a study ({reason_of(error)}); remove it") from None
