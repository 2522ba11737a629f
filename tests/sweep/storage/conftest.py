"""A PostgreSQL server of the tests' own, from Debian's package."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import LiteralString
from urllib.parse import quote

import psycopg
import pytest
from database_cases import PASSWORD
from sqlalchemy.engine import make_url

_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture(scope="session")
def server() -> Iterator[Path]:
    """The folder of a running server's socket; as root the server runs as the user of Debian's package."""
    if not _BINARIES:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="postgresql") as name:
        folder, binaries = Path(name), _BINARIES[-1]
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres", "postgres")
        settings = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}", "--username=tester"]
        subprocess.run(
            [binaries / "initdb", "--no-sync", "--encoding=UTF8", "--locale=C", *settings, folder / "data"],
            check=True,
            capture_output=True,
            cwd=folder,
            **user,
        )
        options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [binaries / "postgres", "-D", folder / "data", *options], stderr=log, stdout=log, cwd=folder, **user
            )
        try:
            _wait(folder, process)
            yield folder
        finally:
            process.send_signal(signal.SIGINT)  # ends sessions and stops
            process.wait(30)


@pytest.fixture
def database(server: Path) -> str:
    """URL of an empty database."""
    name = f"d{secrets.token_hex(4)}"
    execute(server, f"CREATE DATABASE {name}")
    return f"postgresql://tester:{quote(PASSWORD, safe='')}@/{name}?host={server}"


@pytest.fixture
def drop(server: Path):
    """Drops the database of a URL, and ends its sessions."""
    return lambda url: execute(server, f"DROP DATABASE {make_url(url).database} (FORCE)")


def execute(folder: Path, command: LiteralString) -> None:
    with _connect(folder) as connection:
        connection.execute(command)


def _connect(folder: Path) -> psycopg.Connection:
    return psycopg.connect(host=str(folder), user="tester", password=PASSWORD, dbname="postgres", autocommit=True)


def _wait(folder: Path, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            _connect(folder).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not start: {(folder / 'log').read_text()}")
