"""Commands on a disk with little room: a file system in memory, mounted in a namespace of the command's process."""

import ctypes
import io
import os
import pickle
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from run_command import fork

_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")  # a file takes whole pages


@dataclass
class Result:
    """End of a command on a small disk.

    Args:
        status: Exit status; a string for an exception that was not caught.
        stdout: Text on stdout.
        stderr: Text on stderr.
        files: Contents by path, with those before the command.
        used_pages: Pages of the disk in use at the end.
        used_inodes: Inodes of the disk in use at the end.
    """

    status: int | str
    stdout: str
    stderr: str
    files: dict[str, bytes]
    used_pages: int
    used_inodes: int


def run_on_small_disk(
    *args: object, before: Path, folder: Path, free_pages: int | None = None, free_inodes: int | None = None
) -> Result | None:
    """Run a command in a copy of the folder `before` with so much room; None where the system allows no mount."""
    result = folder / "result"
    result.unlink(missing_ok=True)
    (folder / "disk").mkdir(exist_ok=True)
    words = [str(arg) for arg in args]
    status = fork(_child, words, str(before), str(folder / "disk"), str(result), free_pages, free_inodes, timeout=120)
    assert status == 0, f"the process ended with {status}"
    with result.open("rb") as file:
        return pickle.load(file)


def _child(
    args: list[str], before: str, disk: str, result: str, free_pages: int | None, free_inodes: int | None
) -> None:
    sys.argv = ["mm_lightning", *args]
    found = None
    if _mount(disk, before, free_pages, free_inodes):
        os.chdir(disk)
        found = _run_command(Path(disk))
    with Path(result).open("wb") as file:
        pickle.dump(found, file)


def _mount(disk: str, before: str, free_pages: int | None, free_inodes: int | None) -> bool:
    """Mount a disk with a copy of a folder and so much room; False where the system does not allow it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | (_CLONE_NEWUSER if os.geteuid() else 0)):
        return False
    libc.mount(None, b"/", None, 0x4000 | 0x40000, None)  # recursive and private: the mount stays in this process
    if libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0, b"size=100m"):
        return False
    shutil.copytree(before, disk, dirs_exist_ok=True)
    usage = os.statvfs(disk)
    pages = usage.f_blocks - usage.f_bfree + (10_000 if free_pages is None else free_pages)
    inodes = usage.f_files - usage.f_ffree + (1000 if free_inodes is None else free_inodes)
    options = f"size={pages * PAGE_BYTES},nr_inodes={inodes}".encode()
    return libc.mount(b"tmpfs", os.fsencode(disk), b"tmpfs", 0x20, options) == 0  # remount


def _run_command(disk: Path) -> Result:
    from mm_lightning.__main__ import main  # noqa: PLC0415 # in the child

    before = os.statvfs(disk)
    stdout, stderr = io.StringIO(), io.StringIO()
    status: int | str = 0
    with redirect_stdout(stdout), redirect_stderr(stderr):
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            status = traceback.format_exc()
    after = os.statvfs(disk)
    files = {path.relative_to(disk).as_posix(): path.read_bytes() for path in _files(disk)}
    pages, inodes = before.f_bfree - after.f_bfree, before.f_ffree - after.f_ffree
    return Result(status, stdout.getvalue(), stderr.getvalue(), files, pages, inodes)


def _files(disk: Path) -> Iterator[Path]:
    return (path for path in disk.rglob("*") if path.is_file())
