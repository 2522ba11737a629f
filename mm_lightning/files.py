"""The files that come with the package, and files that appear only when they are complete."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mm_lightning import UserError

_PACKAGE = Path(__file__).parent
_ROOTS = (_PACKAGE / "shipped", _PACKAGE.parent)


def find_shipped(path: str) -> str:
    """The path as it is where it exists; else the shipped file of that name; else the path as it is."""
    if not Path(path).exists() and Path(path).parts[:1] in {("data",), ("configs",)}:
        for root in _ROOTS:
            if (root / path).is_file():
                return str(root / path)
    return path


@contextmanager
def write_atomically(path: Path, setting: str) -> Iterator[Path]:
    """Where to write a file; it gets its own name when all went well, and is removed when not.

    Args:
        path: The file; its folder must exist.
        setting: What the user calls it, for errors.

    Raises:
        UserError: If it cannot be written.
    """
    partial = _partial(path)
    try:
        yield partial
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise _unwritable(path, setting, error) from None
        raise


def check_writable(path: Path, setting: str, suffix: str) -> None:
    """See that `write_atomically` will be able to write, before time goes into what is to be written.

    Args:
        path: The file.
        setting: What the user calls it, for errors.
        suffix: What its name must end in.

    Raises:
        UserError: If it cannot be written, or says to be something else.
    """
    if path.suffix != suffix:
        raise UserError(f"{setting} is {path}; its name must end in {suffix}")
    if path.is_dir():
        raise UserError(f"{setting}: {path} is a folder; give another name")
    try:
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        raise _unwritable(path, setting, error) from None


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _unwritable(path: Path, setting: str, error: OSError) -> UserError:
    return UserError(f"{setting}: {path} cannot be written: {error.strerror}")
