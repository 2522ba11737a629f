"""The list that the make command learns."""

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm_lightning import UserError
from mm_lightning.data.files.lists import join_files, read_files
from mm_lightning.data.files.tables import Columns
from mm_lightning.data.items import Items
from mm_lightning.files import find_shipped, make_folder, unwritable, write_atomically
from mm_lightning.training.run_folders import LOGS

_FOLDER = "make"  # below the logs
_KEPT_LIST = "items.txt"  # in the folder of the model
_STDIN = "-"
_MIN_ITEMS = 2


@dataclass(frozen=True)
class Source:
    """A list of different items.

    Args:
        name: For people.
        items: The items.
        data: Settings of the data.
        folder: Folder of the list's model.
        command: The command that learns it, without folders: exports carry it.
    """

    name: str
    items: Items
    data: dict[str, Any]
    folder: Path
    command: str

    def description(self) -> str:
        """The list in a line for people."""
        lengths = self.items.lengths
        return (
            f"{self.name}: {len(self.items):,} different items of {lengths.min()} to {lengths.max()} characters, "
            f"{len(self.items.alphabet()):,} different characters"
        )


def read(lists: list[str], item: str | None) -> Source:
    """Read a list from files or stdin; a list from stdin or a pipe is kept in the folder of its model.

    Raises:
        UserError: If the list cannot be read, or has too few items.
    """
    is_stdin = _STDIN in lists
    if is_stdin and len(lists) > 1:
        raise UserError("LIST is - and files; give one of them")
    name = "stdin" if is_stdin else ", ".join(Path(path).name for path in lists)  # without folders: exports carry it
    paths = ["/dev/stdin"] if is_stdin else lists
    items = join_files(read_files(paths, Columns(item)))[0].unique()
    if len(items) < _MIN_ITEMS:
        raise UserError(f"{name} has {len(items)} different item; make needs at least {_MIN_ITEMS}")
    digest = hashlib.sha256(items.hashes().tobytes()).hexdigest()[:8]
    folder = Path(LOGS) / _FOLDER / f"{'stdin' if is_stdin else Path(lists[0]).stem}-{digest}"
    is_copied = is_stdin or not all(Path(find_shipped(path)).is_file() for path in paths)
    if is_copied:  # stdin and pipes can be read once, and other commands read the list too
        paths = [str(folder / _KEPT_LIST)]
        make_model_folder(folder)
        with write_atomically(Path(paths[0]), "list") as file:
            file.write("".join(f"{text}\n" for text in items).encode())
    names = [_STDIN] if is_stdin else [Path(path).name for path in lists]
    command = shlex.join(["make", *names, *(() if item is None else ("--data.item", item))])
    return Source(name, items, {"path": paths, "item": None if is_copied else item}, folder, command)


def make_model_folder(path: Path) -> None:
    """Make the folder of a model.

    Raises:
        UserError: If it cannot be made.
    """
    try:
        make_folder(path)
    except OSError as error:
        raise unwritable(path, "folder of the model", error) from None


def remove_kept_list(folder: Path) -> None:
    """Remove a list from stdin or a pipe that no model needs."""
    (folder / _KEPT_LIST).unlink(missing_ok=True)
