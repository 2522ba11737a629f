"""Failure of a command: one line for an error that the user can mend; a bug keeps its traceback."""

import errno
import os
import sys
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from mm_lightning import UserError

USAGE_STATUS = 2  # exit status where the arguments cannot be parsed; every other failure ends with 1
_MAX_CHARACTERS = 1000  # of an error
_MACHINE_LIMITS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE}


def fail(message: str, status: int) -> NoReturn:
    """Print an error of one line and exit; the middle of a very long line is left out."""
    line = " ".join(message.split())
    if len(line) > _MAX_CHARACTERS:
        line = f"{line[: _MAX_CHARACTERS // 2]} ... {line[-_MAX_CHARACTERS // 2 :]}"
    sys.stderr.write(f"error: {line}\n")
    sys.exit(status)


@contextmanager
def one_line_errors(*more: type[Exception]) -> Iterator[None]:
    """Exit with one line on stderr for an error that the user can mend; let every other exception through.

    Args:
        more: Exceptions of libraries that the user can mend, besides `UserError`.
    """
    kinds: tuple[type[Exception], ...] = (UserError, *more)
    try:
        yield
    except BrokenPipeError:  # the reader of stdout has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ArgumentError as error:
        fail(str(error), status=USAGE_STATUS)
    except kinds as error:
        fail(str(error), status=1)
    except OSError as error:
        if error.errno not in _MACHINE_LIMITS:
            raise
        fail(str(error), status=1)
