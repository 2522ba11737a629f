"""The option `storage`: URLs that are read, and errors in one line without the password. No database is needed."""

import sys

import pytest
from run_command import run
from sweep_cases import list_files

from mm_lightning import UserError
from mm_lightning.commands.parts.errors import hide_passwords
from mm_lightning.sweep.storage.opening import check_storage
from mm_lightning.sweep.storage.url import parse_url, shown

SECRET = "geheim"


def forget_psycopg():
    """Let a process start without the driver."""
    sys.modules["psycopg"] = None


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("postgresql://u:p@h/n", "postgresql+psycopg"),
        ("postgres://u:p@h/n", "postgresql+psycopg"),
        ("postgresql+psycopg2://u:p@h/n", "postgresql+psycopg2"),
        ("mysql+pymysql://u:p@h:3306/n", "mysql+pymysql"),
    ],
)
def test_a_plain_url_of_postgresql_means_psycopg_3(text, driver):
    """Catches a driver that is not installed, as it is SQLAlchemy's default; and a chosen one that is replaced."""
    assert parse_url(text).drivername == driver


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("postgresql://u:geheim@h:5432/n?password=geheim", "postgresql://u@h:5432/n"),
        ("mysql+pymysql://u:ge%40heim@h/n", "mysql://u@h/n"),
        ("postgresql://u:geheim@/n?host=/run", "postgresql://u@/n"),
    ],
)
def test_a_shown_url_has_no_password(text, line):
    """Catches a password in an option of the URL."""
    assert shown(parse_url(text)) == line


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jornal", "storage is 'jornal'; give journal, sqlite, or the URL of a database, such as postgresql://"),
        ("postgresql:/u:geheim@h/n", "storage is no URL; give journal"),
        ("postgresql://u:geheim@h:port/n", "the URL of storage cannot be read; give one such as postgresql://"),
        ("postgresql://u:x@geheim@h/n", "the password in the URL of storage has the character @; write it as %40"),
        ("sqlite:///study.db", "storage is the URL of an SQLite file, which machines cannot share; set storage: sql"),
        ("://geheim", "the URL of storage cannot be read"),
    ],
)
def test_a_wrong_option_is_refused(text, message):
    """Catches a traceback, and a password in an error of the parser."""
    with pytest.raises(UserError) as caught:
        check_storage(text)
    assert str(caught.value).startswith(message)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "unrecognized arguments: --storagee postgresql://u:geheim@h/n",
        "x: postgresql://u:geheim@geheim@h/n",
        "x: 'postgresql+psycopg://:gehe im/geheim@h/n?a=b'",
        "postgresql://h/n?user=u&password=geheim&a=b and postgresql://u:geheim@h/n",
    ],
)
def test_a_line_hides_passwords(text):
    """Catches a password in a line that a parser or a library wrote."""
    assert SECRET not in hide_passwords(text)
    assert hide_passwords(text)[:4] == text[:4]


@pytest.mark.parametrize("text", ["https://host/a:b is no file", "a:b@c", "see http://h/x"])
def test_other_text_is_kept(text):
    """Catches asterisks in messages without a password."""
    assert hide_passwords(text) == text


ERRORS = [
    ("postgresql://u:geheim@127.0.0.1:1/n", None, "storage: postgresql://u@127.0.0.1:1/n cannot be used (connection"),
    ("postgresql://u:geheim@h/n", forget_psycopg, "needs the driver psycopg, which is not installed; uv sync --extra"),
    ("mysql://u:geheim@h/n", None, "needs the driver MySQLdb, which is not installed; install the Python package"),
    ("nosql://u:geheim@h/n", None, "storage: nosql is the name of no database; give postgresql, or another"),
    ("postgresql://u:geheim@h:x/n", None, "the URL of storage cannot be read; give one such as postgresql://user:"),
]


@pytest.mark.parametrize(("url", "prepare", "message"), ERRORS)
def test_a_database_that_cannot_be_used_is_one_line(sweep, tmp_path, url, prepare, message):
    """Catches a traceback without a remedy, a password in the error, and a folder made in vain."""
    command = sweep(storage=url)
    before = list_files(tmp_path)
    result = run(*command, cwd=tmp_path, prepare=prepare)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert message in result.stderr
    assert SECRET not in result.stderr
    assert list_files(tmp_path) == before


@pytest.mark.parametrize("line", ["--storagee postgresql://u:geheim@h/n", "postgresql://u:geheim@h/n"])
def test_a_slip_on_the_command_line_shows_no_password(sweep, tmp_path, line):
    """Catches a password in the error of the parser."""
    result = run(*sweep(), *line.split(), cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.stderr


def test_a_broken_config_shows_no_password(sweep, tmp_path):
    """Catches a password in the line that a parser of YAML quotes."""
    command = sweep()
    (tmp_path / "search.yaml").write_text("base: base.yaml\nstorage: postgresql://u:geheim@h/n: x\n")
    result = run(*command, cwd=tmp_path)
    assert result.returncode in (1, 2)
    assert SECRET not in result.stderr
