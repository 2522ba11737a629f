"""The items of one or several files as one list, with labels and weights where columns are named."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.files.reading import line_numbers, parse_items, read_text
from mm_lightning.data.files.tables import FILE, SUFFIXES, Columns, is_table, parse_table
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import UnknownCharactersError
from mm_lightning.files import find_shipped

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class ListFile:
    """The items of one file.

    Args:
        path: Path as the user wrote it.
        items: The items, without labels.
        labels: The label of each item; None without labels.
        lines: Finds the lines, counted from 1, of the items with ascending indices.
    """

    path: str
    items: Items
    labels: list[str] | None
    lines: Callable[[NDArray[np.integer]], list[int]]


def split_paths(path: str | Sequence[str]) -> list[str]:
    """Return the paths of a setting: a list, or paths separated by commas; a file may have a comma in its name.

    Raises:
        UserError: If there is no path, or an empty one.
    """
    if isinstance(path, str):
        paths = [path] if "," not in path or _exists(path) else [part.strip() for part in path.split(",")]
    else:
        paths = list(path)
    if not paths or not all(paths):
        raise UserError(f"data.path is {path!r}, which has no path or an empty one; name files, separated by commas")
    return paths


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # the system refuses the name; whoever opens the file says so
        return False


def listed_paths(path: str | Sequence[str]) -> str:
    """Return the paths of a setting as text, for messages."""
    return path if isinstance(path, str) else ", ".join(path)


def hash_of_files(path: str | Sequence[str]) -> str | None:
    """SHA-256 of the files of a setting, one after the other, in hexadecimal; None for a pipe, which is read once."""
    result = hashlib.sha256()
    for name in split_paths(path):
        if not Path(find_shipped(name)).is_file():
            return None
        with Path(find_shipped(name)).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                result.update(chunk)
    return result.hexdigest()


def check_columns(path: str | Sequence[str], columns: Columns) -> None:
    """Check that columns are named for tables only.

    Raises:
        UserError: If a label or a weight is asked of a list without columns.
    """
    plain = [name for name in split_paths(path) if not is_table(name, columns)]
    for option, name in (("label", columns.label), ("weight", columns.weight)):
        if plain and name is not None and (option, name) != ("label", FILE):
            also = f", or --data.label {FILE} for the name of the file" if option == "label" else ""
            raise UserError(
                f"data.{option} is {name}, but {plain[0]} has no columns: a table ends in {' or '.join(SUFFIXES)}, "
                f"or has a column of items (--data.item){also}"
            )


def read_files(path: str | Sequence[str], columns: Columns) -> list[ListFile]:
    """Read each file.

    Raises:
        UserError: If a file cannot be read or is unfit, or two names of files give the same label; names the file.
    """
    check_columns(path, columns)
    files = [_read_file(name, columns) for name in split_paths(path)]
    return _labelled_by_name(files) if columns.label == FILE else files


def _labelled_by_name(files: Sequence[ListFile]) -> list[ListFile]:
    """Label the items of each file by its name, except those of a table with a column of this name."""
    paths: dict[str, str] = {}  # by label
    labels = [[Path(file.path).stem] * len(file.items) if file.labels is None else file.labels for file in files]
    for file in files:
        label = Path(file.path).stem
        if file.labels is None and paths.setdefault(label, file.path) != file.path:
            raise UserError(
                f"data.label is {FILE}, but {paths[label]} and {file.path} have the same name, so their items would "
                "have the same label; rename one"
            )
    return [replace(file, labels=column) for file, column in zip(files, labels, strict=True)]


def _read_file(path: str, columns: Columns) -> ListFile:
    found = find_shipped(path)
    text = read_text(Path(found))
    if is_table(path, columns):
        table = parse_table(text, found, columns)
        items, labels = table.items, table.labels

        def lines(indices: NDArray[np.integer]) -> list[int]:
            return table.lines[indices].tolist()  # type: ignore[no-any-return]

    else:
        items, labels = parse_items(text, found), None

        def lines(indices: NDArray[np.integer]) -> list[int]:
            return line_numbers(text, indices)

    return ListFile(path, items, labels, lines)


def unknown_characters(
    characters: Sequence[str], path: str | Sequence[str], columns: Columns
) -> UnknownCharactersError:
    """The error of data with characters outside a model's alphabet; names the files that have them."""
    paths = split_paths(path)
    if len(paths) > 1:
        files = read_files(path, columns)
        paths = [file.path for file in files if set(file.items.alphabet()).intersection(characters)]
    return UnknownCharactersError(
        f"{', '.join(paths)} has characters that the model does not know: {' '.join(map(repr, characters[:20]))}; "
        "use data in its alphabet, or train a new model"
    )


def join_files(files: Sequence[ListFile]) -> tuple[Items, list[str]]:
    """Join files to one list.

    Returns:
        The items, whose labels are numbers, and the sorted names of the labels; none for items without labels.
    """
    items = Items.joined([file.items for file in files]) if len(files) > 1 else files[0].items
    labels = [label for file in files for label in file.labels or ()]
    names = sorted(set(labels))
    if not names:
        return items, names
    numbers = {name: number for number, name in enumerate(names)}
    return replace(items, labels=np.array([numbers[label] for label in labels], np.int32)), names


def renumbered(items: Items, names: list[str], known: list[str], source: str) -> Items:
    """Give the labels of items the numbers that a model knows them by.

    Args:
        items: The items.
        names: The names of their labels, in the order of the numbers; none for items without labels.
        known: The names that the model knows; none for a model without labels.
        source: Name of the data, for errors.

    Raises:
        UserError: If the model has labels and the items have none, or the other way round, or a label is unknown.
    """
    if not known and names:
        raise UserError(f"{source} has the labels {', '.join(names)}, but the model has none; leave data.label out")
    if known and not names:
        raise UserError(f"{source} has no labels, but the model has {', '.join(known)}; set --data.label to a column")
    if unknown := sorted(set(names).difference(known)):
        raise UserError(
            f"{source} has labels that the model does not know: {', '.join(unknown[:10])}; it has {', '.join(known)}"
        )
    if items.labels is None:
        return items
    return replace(items, labels=np.array([known.index(name) for name in names], np.int32)[items.labels])
