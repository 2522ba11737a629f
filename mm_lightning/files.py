"""Files that appear when they are complete."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def complete(path: Path, setting: str) -> Iterator[Path]:
    """Where to write a file; it gets its own name when all went well, and is removed when not.

    Args:
        path: The file; its folder must exist.
        setting: What the user calls it, for errors.

    Raises:
        ValueError: If it cannot be written.
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
    """See that `complete` will be able to write, before time goes into what is to be written.

    Args:
        path: The file.
        setting: What the user calls it, for errors.
        suffix: What its name must end in.

    Raises:
        ValueError: If it cannot be written, or says to be something else.
    """
    if path.suffix != suffix:
        raise ValueError(f"{setting} is {path}; its name must end in {suffix}")
    if path.is_dir():
        raise ValueError(f"{setting}: {path} is a folder; give another name")
    try:
        _partial(path).touch()
        _partial(path).unlink()
    except OSError as error:
        raise _unwritable(path, setting, error) from None


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _unwritable(path: Path, setting: str, error: OSError) -> ValueError:
    return ValueError(f"{setting}: {path} cannot be written: {error.strerror}")
