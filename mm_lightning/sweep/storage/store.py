"""The interface of a place that keeps a study: its lock, and which worker trains which trial."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock
from optuna.storages import BaseStorage

from mm_lightning import UserError
from mm_lightning.files import make_folder

LOCK_TIMEOUT_SECONDS = 60  # wait for another process that is writing
_FILES = {"sqlite": "study.db", "journal": "study.journal", "a database": "study.id"}  # in the folder, by kind


class Store(ABC):
    """A place that keeps a study.

    Args:
        folder: Folder of the results.
        kind: Key of `_FILES`.

    Raises:
        UserError: If the folder belongs to a study of another kind.
    """

    storage: BaseStorage
    lock: AbstractContextManager[Any]  # of the study, for all its workers; the holder can acquire it again
    abandonment: str  # reason why a trial counts as abandoned
    removal: str  # how to remove the study

    def __init__(self, folder: Path, kind: str) -> None:
        for other, name in _FILES.items():
            if other != kind and (folder / name).exists():
                known, remedy = f"the study in {folder} is kept in {other}", f"set storage: {other}"
                if other == "a database":
                    remedy = "give the URL of the database"
                raise UserError(f"storage is {kind}, but {known}; {remedy}, or give the new search a --name of its own")
        self.folder_lock = FileLock(folder / ".lock", timeout=LOCK_TIMEOUT_SECONDS)
        self._folder = folder
        self._file = folder / _FILES[kind]

    @property
    @abstractmethod
    def place(self) -> str:
        """The place, for messages; without a password."""

    @abstractmethod
    def claim(self, number: int) -> None:
        """Record that this process trains a trial; the study's lock is held since the trial was made."""

    @abstractmethod
    def release(self, number: int) -> None:
        """Record that this process no longer trains a trial."""

    @abstractmethod
    def abandoned(self, running: list[int]) -> list[int]:
        """Those of the running trials that no process trains; the study's lock is held."""

    @abstractmethod
    def heartbeats(self) -> dict[int, datetime | None]:
        """Last sign of life of the worker of each running trial; empty where ended processes are known at once."""

    @abstractmethod
    def bind(self, study: optuna.Study) -> None:
        """Refuse a folder with the results of another study; the study's lock is held."""

    @abstractmethod
    def close(self) -> None:
        """End the connections to the place."""

    @abstractmethod
    def remedy(self) -> str:
        """Remedy where the place fails in the middle of a search."""


def make_study_folder(folder: Path) -> None:
    """Make a folder.

    Raises:
        UserError: If the folder cannot be made.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise UserError(f"cannot make the study's folder {folder} ({error.strerror})") from None


def reason_of(error: Exception) -> str:
    """The reason of an error of Optuna or SQLAlchemy, in the words of the driver."""
    cause = error.__cause__ or error
    return " ".join(str(getattr(cause, "orig", None) or cause).partition("\n[SQL")[0].split())
