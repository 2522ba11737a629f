"""Shipped files, and the one writer of files and folders that appear when they are complete.

A writer holds a lock on its partial file, `.NAME.partial`, which the system releases however the process ends. So a
second writer is refused, and the partial file of a killed process is taken over by the next writer of the same path.

Until a sync, a system may carry out a rename before the writes. It may also lose a rename, a new file or a new folder
(Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014). So contents are synced before the rename, and the
folder is synced after the rename.
"""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

from mm_lightning import UserError

_PACKAGE = Path(__file__).parent
_ROOTS = (_PACKAGE / "shipped", _PACKAGE.parent)


def find_shipped(path: str) -> str:
    """Return the path of the shipped file if `path` names one and does not exist, else `path` unchanged."""
    if Path(path).parts[:1] in {("data",), ("configs",)}:
        with suppress(OSError, ValueError):  # the system refuses the name; whoever opens the file says so
            if not Path(path).exists():
                return next((str(root / path) for root in _ROOTS if (root / path).is_file()), path)
    return path


def shipped_recipes() -> list[str]:
    """Names of the shipped recipes, sorted."""
    folder = next(root / "configs" for root in _ROOTS if (root / "configs").is_dir())
    return sorted(path.stem for path in folder.glob("*.yaml"))


@contextmanager
def write_atomically(path: Path, setting: str) -> Iterator[BinaryIO]:
    """Yield a file to write to, which takes its name when complete; after an error, the path is as before.

    Args:
        path: Final path; the folder must exist.
        setting: Name of the user's setting, or of the kind of file, for errors.

    Raises:
        UserError: If the file cannot be written, or another process is writing to the path.
    """
    with write_together([path], setting) as (file,):
        yield file


@contextmanager
def write_together(paths: Sequence[Path], setting: str) -> Iterator[list[BinaryIO]]:
    """Yield a file for each path; the files take their names when all are complete, and after an error none does.

    Args:
        paths: Final paths; the folders must exist.
        setting: Name of the user's setting, for errors.

    Raises:
        UserError: If a file cannot be written, or another process is writing to a path.
    """
    try:
        with ExitStack() as stack:
            files = [stack.enter_context(_partial_file(path, setting)) for path in paths]
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
            for path in paths:
                _partial(path).replace(path)
            for folder in {path.parent for path in paths}:
                sync_folder(folder)
    except OSError as error:
        raise unwritable(", ".join(map(str, paths)), setting, error) from None


def check_writable(path: Path, setting: str, *suffixes: str) -> None:
    """Check that `write_atomically` can write a file, before the work on its content begins.

    Args:
        path: Path of the file.
        setting: Name of the user's setting, for errors.
        suffixes: Possible suffixes of the path, such as `.png`.

    Raises:
        UserError: If the suffix is another one, or the file cannot be written.
    """
    if path.suffix not in suffixes:
        raise UserError(f"{setting} is {path}; its name must end in {', '.join(suffixes)}")
    try:
        if path.is_dir():
            raise UserError(f"{setting}: {path} is a folder; give another name")
        with _partial_file(path, setting):
            pass
    except OSError as error:
        raise unwritable(path, setting, error) from None


@contextmanager
def make_folder_when_complete(folder: Path) -> Iterator[Path]:
    """Yield a new folder to write to, which takes its name when complete; after an error nothing is left.

    The caller holds a lock against other writers of the same folder.

    Raises:
        OSError: If the folder cannot be made.
    """
    partial = _partial(folder)
    shutil.rmtree(partial, ignore_errors=True)  # of a killed process
    try:
        make_folder(partial)
        yield partial
        for file in partial.iterdir():
            with file.open("rb") as open_file:
                os.fsync(open_file.fileno())
        sync_folder(partial)
        partial.rename(folder)
        sync_folder(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder and its missing parents, which a crash cannot undo afterwards.

    Raises:
        OSError: If a folder cannot be made.
    """
    if path.is_dir():
        return
    if not path.parent.exists():
        make_folder(path.parent)
    path.mkdir(exist_ok=True)  # another process may have been faster
    sync_folder(path.parent)


@contextmanager
def folder_for_files(path: Path, setting: str, is_kept: bool = True) -> Iterator[None]:
    """Make a folder and its missing parents for the files that the block writes; after an error, remove new folders.

    Args:
        path: Path of the folder.
        setting: Name of the user's setting, for errors.
        is_kept: Whether new folders stay after a block without an error.

    Raises:
        UserError: If the folder cannot be made or written.
    """
    new: list[Path] = []
    try:
        if path.is_file():
            raise UserError(f"{setting}: {path} is a file; give the name of a folder")
        new += [folder for folder in (path, *path.parents) if not folder.exists()]
        make_folder(path)
        yield
        if is_kept:
            new.clear()
    except OSError as error:
        raise unwritable(path, setting, error) from None
    finally:
        for folder in new:
            with suppress(OSError):  # was not made, or has other files
                folder.rmdir()


def check_folder(path: Path, setting: str) -> None:
    """Check that `folder_for_files` can make and fill a folder, before the work on its files begins."""
    with folder_for_files(path, setting, is_kept=False), TemporaryFile(dir=path):
        pass


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder: names of new files, renames and removals."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot sync folders, as some network ones
            raise
    finally:
        os.close(descriptor)


def remove_partials(folder: Path) -> None:
    """Remove the partial files and folders that killed processes left below a folder; no process may be writing."""
    for path in list(folder.rglob(".*.partial")):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def unwritable(path: Path | str, setting: str, error: OSError) -> UserError:
    """The error of a file or folder that cannot be written.

    Args:
        path: Path of the file, or several paths.
        setting: Name of the user's setting, or of the kind of file.
        error: The reason.
    """
    return UserError(f"{setting}: {path} cannot be written: {error.strerror or error}")


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


@contextmanager
def _partial_file(path: Path, setting: str) -> Iterator[BinaryIO]:
    """Yield the empty partial file of a path, locked; remove the file if it was not renamed."""
    partial = _partial(path)
    file = _open_locked(partial)
    if file is None:
        raise UserError(f"{setting}: another process is writing {path}; wait for it or give another name")
    try:
        yield file
    finally:
        with suppress(OSError):  # an unwritten rest on a full disk
            if _is_at(file, partial):
                partial.unlink()
            file.close()


def _open_locked(partial: Path) -> BinaryIO | None:
    """Open and lock a partial file; None if another process holds the lock."""
    while True:
        file = os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT, 0o666), "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        if _is_at(file, partial):
            file.truncate(0)  # from a killed process
            return file
        file.close()  # another process renamed or removed the file before this one had the lock


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Whether an open file still has this path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
