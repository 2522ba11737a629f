"""Read items, labels and weights from the named columns of a CSV or TSV file."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.files.reading import MAX_LENGTH
from mm_lightning.data.items import Items

SUFFIXES = (".csv", ".tsv")
FILE = "file"  # as data.label: the name of an item's file is its label
_DELIMITERS = (",", "\t", ";")
_MAX_WEIGHT = 10**12
_MAX_LISTED_COLUMNS = 20  # in an error


@dataclass(frozen=True)
class Columns:
    """Names of the columns of a table; None for a column that is not used.

    Args:
        item: Column of the items.
        label: Column of the labels, or `file` for the name of the file.
        weight: Column of the weights.
    """

    item: str | None = None
    label: str | None = None
    weight: str | None = None

    @property
    def loss_note(self) -> str:
        """How items count in losses, for messages; empty if each counts once."""
        return "" if self.weight is None else f"weighted by {self.weight}"


@dataclass(frozen=True)
class Table:
    """The used columns of a table.

    Args:
        items: The items; with weights if there is a column of weights.
        labels: The label of each item; None without a column of labels.
        lines: (num_items,) int64, the line of each item, counted from 1.
    """

    items: Items
    labels: list[str] | None
    lines: NDArray[np.int64]


def is_table(path: str, columns: Columns) -> bool:
    """Whether a file is a table: by its suffix, or because a column of items is named."""
    return columns.item is not None or Path(path).suffix.lower() in SUFFIXES


def parse_table(text: str, source: str, columns: Columns) -> Table:
    """Parse the used columns of a table whose first line names the columns.

    Args:
        text: Content of the file.
        source: Name of the file, for errors.
        columns: The columns to use.

    Raises:
        UserError: If a column is missing, a row has more cells than columns, or a cell is empty or no weight; names the
            line.
    """
    delimiter = _delimiter(text, source)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    cells: list[list[str]] = []
    lines: list[int] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        used = _positions(header, source, columns)
        for row in filter(None, reader):
            if len(row) != len(header):
                _check_row(row, len(header), used, f"{source}: line {reader.line_num}", delimiter)
            cells.append([row[i].strip() for i in used.values()])
            lines.append(reader.line_num)
    except csv.Error as error:
        raise UserError(f"{source}: line {reader.line_num} cannot be read as a row of a table: {error}") from None
    if not cells:
        raise UserError(f"{source} has column names, but no rows; it should have one item per row")
    by_name = dict(zip(used, zip(*cells, strict=True), strict=True))
    for name, column in by_name.items():
        _check_cells(column, name, source, lines)
    assert columns.item is not None
    items = Items.from_strings(by_name[columns.item])
    _check_items(items, by_name[columns.item], source, lines)
    weights = None if columns.weight is None else _weights(by_name[columns.weight], columns.weight, source, lines)
    labels = list(by_name[columns.label]) if columns.label in by_name else None
    return Table(Items(items.code_points, items.offsets, weights), labels, np.array(lines, np.int64))


def _delimiter(text: str, source: str) -> str:
    """Return the tab for a .tsv file, else the most frequent delimiter of the first line."""
    if source.lower().endswith(".tsv"):
        return "\t"
    first_line = re.compile(r"[^\r\n]*").match(text)
    assert first_line is not None  # it may be empty
    return max(_DELIMITERS, key=first_line[0].count)  # of equal ones, the first


def _positions(header: list[str], source: str, columns: Columns) -> dict[str, int]:
    """Find the position of each used column, by name.

    Raises:
        UserError: If a column is missing or there twice, or no column of items is named; names the columns.
    """
    listed = ", ".join(header[:_MAX_LISTED_COLUMNS])
    if columns.item is None:
        raise UserError(
            f"{source} is a table with the columns {listed}; set --data.item to one of them, "
            "or rename a list without columns to .txt"
        )
    result = {}
    for option in ("item", "label", "weight"):
        name = getattr(columns, option)
        if name is None or (option == "label" and name == FILE and FILE not in header):
            continue
        if header.count(name) != 1:
            problem = "is there twice" if name in header else "is no column"
            raise UserError(
                f"data.{option} is {name}, which {problem} of {source}; its columns are {listed} "
                f"(--data.{option} null for none)"
            )
        result[name] = header.index(name)
    return result


def _check_row(row: list[str], num_columns: int, used: dict[str, int], place: str, delimiter: str) -> None:
    """Check that a row has a cell of each used column, and no cell but empty ones behind the last column."""
    for name, i in used.items():
        if i >= len(row):
            raise UserError(f"{place} has no {name}")
    if any(map(str.strip, row[num_columns:])):
        raise UserError(
            f"{place} has {len(row)} cells, but the first line names {num_columns}; put quotation marks around a cell "
            f"that has {delimiter!r} in it"
        )


def _check_cells(column: tuple[str, ...], name: str, source: str, lines: list[int]) -> None:
    if not all(column):
        raise UserError(f"{source}: line {lines[column.index('')]} has an empty {name}; fill it or remove the line")


def _check_items(items: Items, column: tuple[str, ...], source: str, lines: list[int]) -> None:
    """Check that items have a sound length and no line break."""
    too_long = np.flatnonzero(items.lengths > MAX_LENGTH)
    if len(too_long):
        first = int(too_long[0])
        raise UserError(
            f"{source}: the item that ends in line {lines[first]} has {items.lengths[first]} characters, "
            f"over the limit of {MAX_LENGTH}; check the quotation marks"
        )
    if np.isin(items.code_points, [ord("\n"), ord("\r")]).any():
        first = next(i for i, item in enumerate(column) if "\n" in item or "\r" in item)
        raise UserError(f"{source}: the item that ends in line {lines[first]} has a line break; items have none")


def _weights(column: tuple[str, ...], name: str, source: str, lines: list[int]) -> NDArray[np.int64]:
    """Parse weights (num_items,).

    Raises:
        UserError: If a cell is no whole number from 1 up; names the line.
    """
    first = next((i for i, cell in enumerate(column) if not _is_weight(cell)), None)
    if first is None:
        return np.array(list(map(int, column)), np.int64)
    raise UserError(
        f"{source}: {name} is {column[first]} in line {lines[first]}; a weight is a whole number from 1 to "
        f"{_MAX_WEIGHT:_}"
    )


def _is_weight(cell: str) -> bool:
    """Whether a cell is a whole number from 1 to the limit; Python refuses to read thousands of digits."""
    return cell.isdecimal() and len(cell) <= len(str(_MAX_WEIGHT)) and 1 <= int(cell) <= _MAX_WEIGHT
