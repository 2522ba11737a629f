"""Failure of a command: one line for an error that the user can mend; a bug keeps its traceback."""

import errno
import os
import re
import sys
import threading
import time
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn, TextIO

from mm_lightning import UserError
from mm_lightning.training.stop_signals import REPORT_SECONDS

USAGE_STATUS = 2  # exit status where the arguments cannot be parsed; every other failure ends with 1
_MAX_CHARACTERS = 1000  # of an error
_PASSWORD = re.compile(r"(://[^:/@\s]*:).+(?=@)|(\bpassword=)[^&\s'\"]+")  # in user:password@host, or an option
_REMEDIES = {  # for limits of the machine, by error number; other errors of the system are bugs
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in the quota",
    errno.EROFS: "choose a writable place",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EPERM: "choose another place, or change its permissions",
    errno.EMFILE: "raise the limit of open files, for example ulimit -n 4096",
}


def hide_passwords(text: str) -> str:
    """Replace the passwords of URLs, and of their options, by asterisks."""
    return _PASSWORD.sub(lambda found: f"{found[1] or found[2]}***", text)


def is_first_process() -> bool:
    """Whether this process is the first of a machine, or works alone: Lightning, torchrun and SLURM number them."""
    return os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")) == "0"


def fail(message: str, status: int) -> NoReturn:
    """Print an error of one line and exit; the middle of a very long line is left out.

    A process that trains with others waits before it reports: where the first one has the same error, it is ended.
    """
    if not is_first_process():
        time.sleep(REPORT_SECONDS)
    line = hide_passwords(" ".join(message.split()))
    if len(line) > _MAX_CHARACTERS:
        line = f"{line[: _MAX_CHARACTERS // 2]} ... {line[-_MAX_CHARACTERS // 2 :]}"
    sys.stderr.write(f"error: {line}\n")
    sys.exit(status)


@contextmanager
def one_line_errors(*more: type[Exception]) -> Iterator[None]:
    """Exit with one line on stderr for an error that the user can mend; let every other exception through.

    Stdout is UTF-8 from here on, in every locale.

    Args:
        more: Exceptions of libraries that the user can mend, besides `UserError`.
    """
    error: BaseException | None = None
    _write_utf8(sys.stdout)
    stdout = _Stdout(sys.stdout or Path(os.devnull).open("w"))  # noqa: SIM115 # None where stdout is closed
    sys.stdout, threading.excepthook = stdout, _print_bug_of_thread
    try:
        yield
    except BaseException as raised:
        error = raised
    finally:
        sys.stdout, threading.excepthook = stdout.stream, threading.__excepthook__
    failure = stdout.end()
    if isinstance(failure, BrokenPipeError) and _can_come_from_stdout(error):
        sys.exit(1)  # the reader of stdout has had enough, as `head` does
    if failure is not None and _can_come_from_stdout(error):
        fail(f"standard output cannot be written: {failure.strerror}", status=1)
    if isinstance(error, ArgumentError):
        fail(str(error), status=USAGE_STATUS)
    if isinstance(error, (UserError, *more)):
        fail(str(error), status=1)
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        place = "a file" if error.filename is None else str(error.filename)
        fail(f"{place} cannot be used: {error.strerror}; {_REMEDIES[error.errno]}", status=1)
    if error is not None:
        raise error


@contextmanager
def refuse_out_of_memory() -> Iterator[None]:
    """Report a lack of memory, of the machine or of the device, in one line.

    Raises:
        UserError: If the memory is too small.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        from lightning.pytorch.utilities.memory import is_oom_error  # noqa: PLC0415 # takes seconds

        if isinstance(error, MemoryError) or is_oom_error(error):
            raise UserError("out of memory; make data.batch_size, the network or the data smaller") from None
        raise


def _write_utf8(stream: TextIO | None) -> None:
    """Let a text file write UTF-8, as every list of items is read."""
    if isinstance(stream, TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors=stream.errors)


class _Stdout:
    """Stdout that names itself in an error, and remembers the error: argparse drops errors of printing (Python 3.11).

    Args:
        stream: The real stdout.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write text."""
        with self._noted_failure():
            return self.stream.write(text)

    def flush(self) -> None:
        """Write buffered text."""
        with self._noted_failure():
            self.stream.flush()

    def end(self) -> OSError | None:
        """Flush; after a failure, which is returned, the rest goes nowhere and Python's exit is silent."""
        with suppress(OSError):
            self.flush()
        if self._failure is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.stream.fileno())
        return self._failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextmanager
    def _noted_failure(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            error.filename = "standard output"
            self._failure = error
            raise


def _can_come_from_stdout(error: BaseException | None) -> bool:
    """Whether a failure of stdout is the first failure; a success and the end of `--help` are none."""
    return error is None or isinstance(error, OSError) or (isinstance(error, SystemExit) and not error.code)


def _print_bug_of_thread(args: threading.ExceptHookArgs) -> None:
    """Print the traceback of a thread; TensorBoard raises an `OSError` of its thread again in the main thread."""
    if not (isinstance(args.exc_value, OSError) and args.exc_value.errno in _REMEDIES):
        threading.__excepthook__(args)
