"""Tables: named columns, and errors that name the line."""

import re

import pytest

from mm_lightning.data.files.tables import Columns, parse_table

TEXT = 'name,sex,births\nanna,F,3\n"o, neil",M,1\n\n  eva ,F,2\n'
ALL = Columns("name", "sex", "births")


def test_the_columns_are_read_by_name():
    """Catches columns by position, quotes kept, blank lines as rows, and lines counted from the first row."""
    table = parse_table(TEXT, "x.csv", ALL)
    assert list(table.items) == ["anna", "o, neil", "eva"]
    assert table.labels == ["F", "M", "F"]
    assert table.items.weights is not None
    assert table.items.weights.tolist() == [3, 1, 2]
    assert table.lines.tolist() == [2, 3, 5]
    swapped = parse_table("births\tname\n7\tanna\n", "x.tsv", Columns("name"))
    assert list(swapped.items) == ["anna"]
    assert swapped.labels is swapped.items.weights is None


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_that_of_the_first_line(delimiter: str, line_break: str):
    """Catches a table of a spreadsheet that is read as one column, and delimiters counted beyond a lone CR."""
    cell = "y" + ",;\t".replace(delimiter, "") * 9 + "y"
    lines = (f"a{delimiter}b", f"x{delimiter}{cell}", "")
    assert list(parse_table(line_break.join(lines), "x.csv", Columns("b")).items) == [cell]


def test_empty_cells_behind_the_last_column_are_dropped():
    """Catches a table of a spreadsheet that is refused for the delimiters at its ends of lines."""
    table = parse_table("name,sex\nanna,F,\neva,F,, \n", "x.csv", Columns("name", "sex"))
    assert list(table.items) == ["anna", "eva"]
    assert table.labels == ["F", "F"]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        (TEXT, Columns(), "x.csv is a table with the columns name, sex, births; set --data.item to one of them"),
        (TEXT, Columns("word"), "data.item is word, which is no column of x.csv; its columns are name, sex, births"),
        (TEXT, Columns("name", "gender"), "data.label is gender, which is no column of x.csv"),
        (TEXT, Columns("name", None, "n"), "data.weight is n, which is no column of x.csv"),
        ("name,name\na,b\n", Columns("name"), "data.item is name, which is there twice of x.csv"),
        ("name,sex\nanna,F\neva,\n", Columns("name", "sex"), "x.csv: line 3 has an empty sex"),
        ("name,sex\nanna,F\n ,F\n", Columns("name"), "x.csv: line 3 has an empty name"),
        ("name,sex\nanna,F\neva\n", Columns("name", "sex"), "x.csv: line 3 has no sex"),
        ("name,sex\nanna,F\nSmith, John,M\n", Columns("name", "sex"), "x.csv: line 3 has 3 cells, but the first line "),
        ("name\nSmith, John\n", Columns("name"), "x.csv: line 2 has 2 cells, but the first line names 1; put"),
        ("name\tn\na\t1\tb\n", Columns("name"), "put quotation marks around a cell that has '\\t' in it"),
        ("name,n\nanna,0\n", Columns("name", None, "n"), "x.csv: n is 0 in line 2; a weight is a whole number from 1"),
        ("name,n\nanna,2\nzoe,+3\n", Columns("name", None, "n"), "x.csv: n is +3 in line 3; a weight is"),
        pytest.param(f"name,n\nanna,{'9' * 5000}\n", Columns("name", None, "n"), "in line 2; a weight is", id="long"),
        ("name,n\nanna,1\neva,1.5\n", Columns("name", None, "n"), "x.csv: n is 1.5 in line 3"),
        ('name\n"an\nna"\n', Columns("name"), "x.csv: the item that ends in line 3 has a line break"),
        ("name\n" + "a" * 1001 + "\n", Columns("name"), "x.csv: the item that ends in line 2 has 1001 characters"),
        ('name\n"anna" b\n', Columns("name"), "x.csv: line 2 cannot be read as a row of a table"),
        ("name\n", Columns("name"), "x.csv has column names, but no rows"),
        ("", Columns("name"), "data.item is name, which is no column of x.csv"),
    ],
)
def test_errors_name_the_column_or_the_line(text: str, columns: Columns, message: str):
    """Catches a traceback of the csv module, a cell that is skipped, and a cell cut in two, of which half is read."""
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        parse_table(text, "x.csv", columns)
    assert "\n" not in str(error.value)
