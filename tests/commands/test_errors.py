"""How a command fails."""

import errno
from argparse import ArgumentError

import pytest

from mm_lightning import UserError
from mm_lightning.commands.errors import one_line_errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UserError("data.path is x;\n give a file"), 1),
        (ArgumentError(None, "data.path is x;\n give a file"), 2),
    ],
    ids=["user", "argument"],
)
def test_a_users_error_is_one_line(error: Exception, status: int, capsys: pytest.CaptureFixture[str]):
    """Catches an error that the user can mend printed with a traceback, on several lines or with another status."""
    with pytest.raises(SystemExit) as exit_info, one_line_errors():
        raise error
    assert exit_info.value.code == status
    assert capsys.readouterr().err == "error: data.path is x; give a file\n"


def test_a_full_disk_is_one_line(capsys: pytest.CaptureFixture[str]):
    """Catches a traceback where the machine, not the program, is at its limit."""
    with pytest.raises(SystemExit) as exit_info, one_line_errors():
        raise OSError(errno.ENOSPC, "No space left on device", "run/events")
    assert exit_info.value.code == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device: 'run/events'\n"


@pytest.mark.parametrize(
    "bug",
    [ValueError("axes do not match"), KeyError("step"), FileNotFoundError(errno.ENOENT, "No such file", "x")],
    ids=lambda bug: type(bug).__name__,
)
def test_a_bug_keeps_its_traceback(bug: Exception):
    """Catches a bug that is printed as if the user had made a mistake."""
    with pytest.raises(type(bug)) as info, one_line_errors():
        raise bug
    assert info.value is bug


def test_errors_of_a_library_are_one_line_where_they_are_named(capsys: pytest.CaptureFixture[str]):
    """Catches a setting that Lightning refuses, printed with Lightning's traceback."""
    with pytest.raises(SystemExit), one_line_errors(LookupError):
        raise KeyError("devices")
    assert capsys.readouterr().err == "error: 'devices'\n"
