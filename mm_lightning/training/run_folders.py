"""Run folders: `ROOT/lightning_logs/version_N`, one per `fit`, with its config, curves and checkpoints.

Only one process can create a folder, and a lock is held while its run trains. So two runs never share a folder.
"""

import re
from pathlib import Path

from filelock import FileLock, Timeout
from lightning_utilities.core.rank_zero import rank_zero_only

from mm_lightning import UserError
from mm_lightning.files import make_folder, sync_folder

LOGS = "lightning_logs"
CHECKPOINTS = "checkpoints"
LAST, BEST = "last", "best"
WEIGHTS, SETTINGS, CARD = "model.safetensors", "config.json", "README.md"  # files of an exported folder


def find_checkpoint(name: str, root: Path, option: str = "--ckpt_path") -> Path:
    """Resolve the value of an option to a file: `last` or `best` of the newest run below `root`, or a path.

    Raises:
        UserError: If the newest run has no such checkpoint, or there is no run.
    """
    if name not in (LAST, BEST):
        try:
            Path(name).is_file()
        except OSError as error:
            raise UserError(f"{option} {name}: {error.strerror}; give a file, last or best") from None
        return Path(name)
    runs = _runs(root)
    if not runs:
        raise UserError(f"{option} {name}: no run in {root}; begin one with fit, or give a path")
    paths = [checkpoint_of(run, name) for run in runs]
    if getattr(rank_zero_only, "rank", 0):  # the first process may have begun the next run by now
        paths = [path for path in paths if path.is_file()] or paths
    if not paths[-1].is_file():
        earlier = [path for path in paths if path.is_file()]
        remedy = f"{option} {earlier[-1]}" if earlier else f"a path, or start a run without {option}"
        raise UserError(
            f"{option} {name}: the newest run has no {paths[-1]}; runs save it from time to time. Give {remedy}"
        )
    return paths[-1]


def find_run(name: str) -> Path:
    """Find the checkpoint of a run: of a folder, of a number below lightning_logs, of a file, or last or best.

    Raises:
        UserError: If there is no such run, or it has no checkpoint.
    """
    if name in (LAST, BEST):
        return find_checkpoint(name, Path(LOGS), "RUN")
    try:
        path = Path(name)
        if re.fullmatch(r"(version_)?\d+", name) and not path.exists():
            path = Path(LOGS) / f"version_{name.removeprefix('version_')}"
        if path.is_file() or (path / SETTINGS).is_file():
            return path
        found = [file for kind in (BEST, LAST) if (file := checkpoint_of(path, kind)).is_file()]
    except OSError as error:
        raise UserError(f"{name}: {error.strerror}; give a run folder, its number, or a checkpoint") from None
    if not found:
        reason = "is a folder without checkpoints/best.ckpt and last.ckpt" if path.is_dir() else "does not exist"
        raise UserError(f"{path} {reason}; give a run folder, its number in {LOGS}, or a checkpoint")
    return found[0]


def run_of(checkpoint: Path) -> Path | None:
    """The run folder of a checkpoint file; None for a file outside of a run folder."""
    folder = checkpoint.absolute().parent
    return folder.parent if folder.name == CHECKPOINTS else None


def checkpoint_of(run: Path, name: str) -> Path:
    """Path of a run's checkpoint, last or best."""
    return run.absolute() / CHECKPOINTS / f"{name}.ckpt"


def is_last(checkpoint: Path) -> bool:
    """Whether a checkpoint is the last one of its run."""
    run = run_of(checkpoint)
    return run is not None and checkpoint.absolute() == checkpoint_of(run, LAST)


def newest_checkpoint(run: Path | None) -> Path | None:
    """The last checkpoint of a run, or else the best; None where there is neither, or no run folder."""
    paths = () if run is None else (checkpoint_of(run, LAST), checkpoint_of(run, BEST))
    return next((path for path in paths if path.is_file()), None)


def create(root: Path) -> Path:
    """Create the next run folder below `root`.

    Raises:
        UserError: If the folder cannot be created.
    """
    while True:
        runs = _runs(root)
        path = root / f"version_{_number(runs[-1]) + 1 if runs else 0}"
        try:
            make_folder(root)
            path.mkdir()
            sync_folder(root)
        except FileExistsError:
            if not root.is_dir():
                raise UserError(f"{root} is a file; choose another place with --trainer.default_root_dir") from None
            continue  # another run was faster; try the next number
        except OSError as error:
            raise UserError(
                f"cannot make the run folder {path} ({error.strerror}); "
                "choose a writable place with --trainer.default_root_dir"
            ) from None
        return path


def lock(run: Path) -> FileLock:
    """Lock a run folder; the system releases the lock however this process ends.

    Raises:
        UserError: If another process holds the lock, or the folder is not writable.
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


def no_such_checkpoint(path: Path) -> UserError:
    """The error of a checkpoint that is not there."""
    return UserError(f"{path}: no such checkpoint")
