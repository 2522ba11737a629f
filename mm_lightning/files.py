"""Shipped files, and atomic writing of files."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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


@contextmanager
def replace_when_complete(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; sync and rename the file to `path` on success, remove the file on failure.

    Args:
        path: Final path; the folder must exist.
    """
    partial = _partial(path)
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def write_atomically(path: Path, setting: str) -> Iterator[Path]:
    """Call `replace_when_complete`; errors name a setting of the user.

    Args:
        path: Final path; the folder must exist.
        setting: Name of the user's setting, for errors.

    Raises:
        UserError: If the file cannot be written.
    """
    try:
        with replace_when_complete(path) as partial:
            yield partial
    except OSError as error:
        raise _unwritable(path, setting, error) from None


def check_writable(path: Path, setting: str, suffix: str) -> None:
    """Check that `write_atomically` can write a file, before the work on its content begins.

    Args:
        path: Path of the file.
        setting: Name of the user's setting, for errors.
        suffix: Required suffix of the path, such as `.png`.

    Raises:
        UserError: If the suffix is another one, or the file cannot be written.
    """
    if path.suffix != suffix:
        raise UserError(f"{setting} is {path}; its name must end in {suffix}")
    try:
        if path.is_dir():
            raise UserError(f"{setting}: {path} is a folder; give another name")
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        raise _unwritable(path, setting, error) from None


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _unwritable(path: Path, setting: str, error: OSError) -> UserError:
    return UserError(f"{setting}: {path} cannot be written: {error.strerror}")
