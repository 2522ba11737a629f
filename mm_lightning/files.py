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
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise ValueError(f"{setting}: {path} cannot be written: {error.strerror}") from None
        raise
