"""The other models of a fit: the one whose weights a run begins from, and the one that it learns from."""

import os
from pathlib import Path

from jsonargparse import Namespace

from mm_lightning import UserError
from mm_lightning.cli.opening import open_network
from mm_lightning.cli.options.arguments import find_checkpoint
from mm_lightning.commands.parts.teacher import Teacher
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint

_NAMED_AS_TEACHER = "name it in a comment of the config file, as in # {}"  # an option would change the student


def settle_start(
    config: Namespace, resumed: Checkpoint | None, start: Checkpoint | None, root: Path, trusted: str
) -> Checkpoint | None:
    """Find the checkpoint that a new run begins from, and record its path in the run's configuration.

    Args:
        config: The configuration.
        resumed: The checkpoint to resume from, whose run may have begun from another; None for a new run.
        start: The checkpoint of the command line; None to look into the configuration.
        root: Folder of the runs.
        trusted: Text from the user, for `checkpoint.read`.

    Raises:
        UserError: If the checkpoint has a network or tokens of another kind; names both.
    """
    if resumed is not None:
        config["init_from"] = resumed.config.get("init_from")
        return None
    if start is None and config["init_from"] is not None:
        start = checkpoint.read(find_checkpoint(config["init_from"], root, "--init_from"), trusted)
    if start is None:
        return None
    config["init_from"] = _recorded(start.path)
    for key, new, old in (
        ("model.network", config["model"]["network"]["class_path"], start.model["network"]["class_path"]),
        ("data.tokens", config["data"]["tokens"], start.data["tokens"]),
    ):
        if new != old:
            raise UserError(f"{key} is {new}, but {start.path} has {old}; --init_from takes weights of the same kind")
    return start


def settle_teacher(config: Namespace, root: Path, trusted: str) -> Teacher | None:
    """Find the model to learn from, and record its path.

    Args:
        config: The configuration.
        root: Folder of the runs.
        trusted: Text from the user, for `checkpoint.read`.

    Raises:
        UserError: If the model cannot be read, or there are items of a teacher without a teacher.
    """
    if config["teacher"] is None:
        if config["teacher_items"]:
            raise UserError(
                f"--teacher_items is {config['teacher_items']}, but there is no teacher; give --teacher, or "
                "--teacher_items 0"
            )
        return None
    source = checkpoint.read(find_checkpoint(config["teacher"], root, "--teacher"), trusted, _NAMED_AS_TEACHER)
    config["teacher"] = _recorded(source.path)
    return Teacher(source, open_network(source), config["teacher_items"])


def options(config: Namespace) -> tuple[str, ...]:
    """Options that name the other models of a settled configuration."""
    return tuple(f"--{name}={config[name]}" for name in ("init_from", "teacher") if config[name] is not None)


def _recorded(path: Path) -> str:
    """Path of a checkpoint for a configuration; `last` and `best` give an absolute path."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
