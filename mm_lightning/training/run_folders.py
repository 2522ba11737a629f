"""Run folders: `ROOT/lightning_logs/version_N`, one per `fit`, with its config, curves and checkpoints.

A folder is made in one step that only one process can win, and held by a lock while its run goes on, so two runs
never share one.
"""

import re
from pathlib import Path

from filelock import FileLock, Timeout

from mm_lightning import UserError

LOGS = "lightning_logs"
CHECKPOINTS = "checkpoints"
LAST, BEST = "last", "best"


def find_checkpoint(name: str, root: Path) -> Path:
    """The file that `--ckpt_path` means: `last` or `best` of the newest run below root, or a path.

    Raises:
        UserError: If there is no such file.
    """
    if name not in (LAST, BEST):
        return Path(name)
    runs = _runs(root)
    if not runs:
        raise UserError(f"--ckpt_path {name}: no run in {root}; start one without --ckpt_path, or give a path")
    path = _path(runs[-1], name)
    if not path.is_file():
        raise UserError(f"--ckpt_path {name}: the newest run has no {path}; give the path of another checkpoint")
    return path


def run_of(checkpoint: Path) -> Path | None:
    """The run folder to which a checkpoint file belongs, if any."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == CHECKPOINTS else None


def is_last(checkpoint: Path) -> bool:
    """Whether its run went no further than this checkpoint."""
    run = run_of(checkpoint)
    return run is not None and checkpoint.absolute() == _path(run, LAST)


def create(root: Path) -> Path:
    """Make the next run folder below root.

    Raises:
        UserError: If it cannot be made.
    """
    while True:
        runs = _runs(root)
        path = root / f"version_{_number(runs[-1]) + 1 if runs else 0}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            if not path.parent.is_dir():
                raise UserError(
                    f"{path.parent} is a file; choose another place with --trainer.default_root_dir"
                ) from None
            continue  # another run was faster: take the next number
        except OSError as error:
            raise UserError(
                f"cannot make the run folder {path} ({error.strerror}); "
                "choose a writable place with --trainer.default_root_dir"
            ) from None
        return path


def hold(run: Path) -> FileLock:
    """Claim a run folder until this process ends, however it ends.

    Raises:
        UserError: If another process holds it.
    """
    lock = FileLock(run / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"another process is training in {run}; wait for it or start a new run") from None
    except OSError as error:
        raise UserError(f"cannot write in the run folder {run} ({error.strerror})") from None
    return lock


def _runs(root: Path) -> list[Path]:
    """Run folders, the newest last."""
    folders = root.iterdir() if root.is_dir() else ()
    return sorted((f for f in folders if re.fullmatch(r"version_\d+", f.name)), key=_number)


def _number(run: Path) -> int:
    return int(run.name.removeprefix("version_"))


def _path(run: Path, name: str) -> Path:
    return run.absolute() / CHECKPOINTS / f"{name}.ckpt"
