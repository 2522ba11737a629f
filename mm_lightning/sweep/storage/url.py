"""The URL of a database. Its password stands in no message: a message shows only checked parts of the URL."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from mm_lightning import UserError

_EXAMPLE = "postgresql://user:password@host:5432/name"


def parse_url(storage: str) -> URL:
    """Read the URL of a database; `postgresql` means the driver psycopg, version 3.

    Raises:
        UserError: If the text is no URL, or the URL of a file.
    """
    if "://" not in storage:
        value = f"storage is {storage!r}" if storage.isidentifier() else "storage is no URL"  # might hold a password
        raise UserError(f"{value}; give journal, sqlite, or the URL of a database, such as {_EXAMPLE}")
    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):  # their messages can hold the password
        raise UserError(f"the URL of storage cannot be read; give one such as {_EXAMPLE}") from None
    if "@" in (url.host or ""):
        raise UserError("the password in the URL of storage has the character @; write it as %40")
    if url.get_backend_name() == "sqlite":
        raise UserError("storage is the URL of an SQLite file, which machines cannot share; set storage: sqlite")
    return url.set(drivername="postgresql+psycopg") if url.drivername in ("postgres", "postgresql") else url


def shown(url: URL) -> str:
    """The URL for messages: without its password, its driver and its options, which may hold another password."""
    return str(URL.create(url.get_backend_name(), url.username, None, url.host, url.port, url.database))
