"""Run a command within limits of time and memory, and judge how it ended."""

import os
import resource
import shutil
from pathlib import Path

from run_command import Command

SECONDS = 60  # for a command of a second
MEMORY_BYTES = 3 << 30  # beyond what the imports take


def run_limited(*args, cwd):
    """Run a command; one that takes too long is killed, and has the exit code None."""
    command = Command(*args, cwd=cwd, prepare=_limit)
    command.process.join(SECONDS)
    if command.process.exitcode is None:
        command.process.kill()
        command.process.join()
        raise AssertionError(f"no end within {SECONDS} s: {args}")
    return command.wait()


def _limit():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def fault(result, folder):
    """What is wrong with how a command ended, or None: it succeeds, or says one line and leaves nothing half-made."""
    lines = result.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    faults = {
        "traceback": "Traceback" in result.stderr or "Exception ignored" in result.stderr,
        "status 0 with an error": result.returncode == 0 and errors,
        f"status {result.returncode}": result.returncode not in (0, 1, 2),
        "not one line at the end": result.returncode and (len(errors) != 1 or lines[-1] != errors[0]),
        "memory out of proportion": any("out of memory" in line for line in errors),
        "a line that nobody reads": any(len(line) > 1100 for line in errors),
        "a partial file": list(folder.rglob(".*.partial")),
        "a run without a checkpoint": [
            r for r in folder.rglob("version_*") if not (r / "checkpoints/last.ckpt").exists()
        ],
    }
    return next((name for name, is_so in faults.items() if is_so), None)


def clean(folder, keep):
    """Remove from a folder all but the names to keep."""
    for path in folder.iterdir():
        if path.name not in keep:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
