"""Sampled items as text: their order, columns and format, as the options say."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.sampling.conditions.automata.tokens import split
from mm_lightning.sampling.options import SamplingOptions

_SUFFIXES = (".txt", ".csv", ".jsonl")


class Row(NamedTuple):
    """A sampled item; the names of the fields are the columns of a file."""

    word: str
    nll: float | None  # in nats; None if no column and no order needs it
    new: bool | None  # None if the training items are unknown
    label: str | None = None  # only of a model with labels


class OutputFormat:
    """The order, columns and format of the items that are written.

    Args:
        options: The sampling options.
        vocabulary: The vocabulary, whose tokens count as length.
        has_labels: Whether the model has labels, which make one more column.

    Attributes:
        has_columns: Whether a row has all columns, not the item and perhaps its NLL alone.
        needs_nll: Whether a row needs the NLL.

    Raises:
        UserError: If the output file has an unknown suffix.
    """

    def __init__(self, options: SamplingOptions, vocabulary: Vocabulary, has_labels: bool = False) -> None:
        self._suffix = ".txt" if options.output is None else options.output.suffix
        if self._suffix not in _SUFFIXES:
            raise UserError(f"sampling.output is {options.output}; its name must end in {', '.join(_SUFFIXES)}")
        self._sort = options.sort
        self._has_nll = options.show_nll
        self._vocabulary = vocabulary
        self._columns = Row._fields if has_labels else Row._fields[:-1]
        self.has_columns = self._suffix != ".txt"
        self.needs_nll = self.has_columns or options.show_nll or options.sort == "likelihood"

    @property
    def header(self) -> str:
        """First lines of the output."""
        return _csv_lines([self._columns]) if self._suffix == ".csv" else ""

    def ordered(self, rows: list[Row]) -> list[Row]:
        """Sort the rows as the option `sort` says; ties are in the order of their items."""
        rows = sorted(rows, key=lambda row: (row.word, row.label or ""))
        if self._sort == "length":
            rows.sort(key=lambda row: len(split(row.word, self._vocabulary)))
        elif self._sort == "likelihood":
            rows.sort(key=lambda row: row.nll or 0)
        return rows

    def lines(self, rows: list[Row]) -> str:
        """Return the lines of the output for rows, in their order."""
        if self._suffix == ".csv":
            return _csv_lines(row[: len(self._columns)] for row in rows)
        if self._suffix == ".jsonl":
            finite = (row._replace(nll=None) if row.nll == math.inf else row for row in rows)  # JSON has no infinity
            values = (dict(zip(self._columns, row, strict=False)) for row in finite)
            return "".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values)
        return "".join(f"{row.word}\t{row.nll:.4f}\n" if self._has_nll else f"{row.word}\n" for row in rows)


def _csv_lines(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
