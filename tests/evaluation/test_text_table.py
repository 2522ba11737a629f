"""Tables of plain text."""

from mm_lightning.evaluation.text_table import aligned


def test_columns_line_up():
    """Catches a column narrower than its widest cell, the wrong side, and spaces at the end of a line."""
    rows = [["", "near", "n"], ["abc", "x", "10"], ["a", "yy", "7"]]
    assert aligned(rows, num_left=2) == ["     near   n", "abc  x     10", "a    yy     7"]
    assert aligned(rows) == ["     near   n", "abc     x  10", "  a    yy   7"]
    assert aligned([["a", "b"], ["c", ""]], num_left=2) == ["a  b", "c"]
