"""How a command fails."""

import errno
import io
import os
import threading
from argparse import ArgumentError
from pathlib import Path

import pytest

from mm_lightning import UserError
from mm_lightning.commands.parts.errors import one_line_errors


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
    assert capsys.readouterr().err == (
        "error: run/events cannot be used: No space left on device; make room on the disk\n"
    )


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


def test_stdout_is_utf8_in_every_locale(monkeypatch: pytest.MonkeyPatch):
    """Catches a traceback for an item in a locale that lacks its characters, and output that no command reads."""
    stdout = io.TextIOWrapper(io.BytesIO(), "ascii", errors="surrogateescape")
    monkeypatch.setattr("sys.stdout", stdout)
    with one_line_errors():
        print("åשa")
    assert stdout.buffer.getvalue().decode() == "åשa\n"
    assert stdout.errors == "surrogateescape"


class FullStdout(io.StringIO):
    """Stdout whose flush fails, as for /dev/full."""

    def __init__(self, number: int, descriptor: int) -> None:
        super().__init__()
        self._number, self._descriptor = number, descriptor

    def flush(self) -> None:
        raise OSError(self._number, os.strerror(self._number))

    def fileno(self) -> int:
        return self._descriptor


@pytest.mark.parametrize(
    ("number", "raised", "line"),
    [
        (errno.ENOSPC, None, "error: standard output cannot be written: No space left on device\n"),
        (errno.ENOSPC, SystemExit(0), "error: standard output cannot be written: No space left on device\n"),
        (errno.ENOSPC, UserError("data.path is x"), "error: data.path is x\n"),
        (errno.EPIPE, None, ""),
        (errno.EPIPE, OSError(errno.EPIPE, "Broken pipe"), ""),
    ],
)
def test_an_unwritable_stdout_is_no_success(
    number: int,
    raised: BaseException | None,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    """Catches status 0 for lost output, and Python's complaint at exit about a text that nobody can write."""
    with (tmp_path / "stdout").open("w") as file:
        monkeypatch.setattr("sys.stdout", FullStdout(number, file.fileno()))
        with pytest.raises(SystemExit) as exit_info, one_line_errors():
            if raised is not None:
                raise raised
        assert os.path.samestat(os.fstat(file.fileno()), Path(os.devnull).stat())
    assert exit_info.value.code == 1
    assert capsys.readouterr().err == line


def test_a_thread_on_a_full_disk_prints_nothing(capsys: pytest.CaptureFixture[str]):
    """Catches the traceback of TensorBoard's writer, whose error the main thread raises again."""

    def fill_the_disk() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with one_line_errors():
        thread = threading.Thread(target=fill_the_disk)
        thread.start()
        thread.join()
    assert capsys.readouterr().err == ""
    assert threading.excepthook is threading.__excepthook__ or "pytest" in threading.excepthook.__module__


@pytest.mark.parametrize(("variable", "rank", "is_first"), [("LOCAL_RANK", "1", False), ("SLURM_LOCALID", "0", True)])
def test_the_first_process_reports_before_the_others(monkeypatch: pytest.MonkeyPatch, variable, rank, is_first):
    """Catches the same error from each of several processes."""
    waits = []
    monkeypatch.setenv(variable, rank)
    monkeypatch.setattr("time.sleep", waits.append)
    with pytest.raises(SystemExit), one_line_errors():
        raise UserError("none")
    assert (waits == []) == is_first
