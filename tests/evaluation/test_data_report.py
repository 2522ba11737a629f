"""The description of a data file: figures against a naive count, and line numbers as in an editor."""

from collections import Counter

import numpy as np
import pytest

from mm_lightning.commands.report import as_text
from mm_lightning.data.files.reading import line_numbers, parse_items, read_items, read_text
from mm_lightning.data.files.tables import Columns
from mm_lightning.data.splits import split_items
from mm_lightning.evaluation.data_report import describe

ODD = "\ufeffanna\n\n  bob \r\nb\u00e9a\r\rnaan\u2028na\n\x1f\nab\u2603\u2603 b\r\nanna"


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.txt"
    path.write_bytes(ODD.encode())
    return path


def test_the_figures_are_those_of_a_naive_count(tmp_path):
    """Catches chunks counted twice or not at all, and a quantile one length off."""
    rng = np.random.default_rng(0)
    items = ["".join(rng.choice(list("abcdé"), n)) for n in rng.integers(1, 30, 9000)]  # more characters than a chunk
    path = tmp_path / "items.txt"
    path.write_text("\n".join(items), encoding="utf-8")
    found = describe(str(path), "lecture")
    lengths = sorted(map(len, items))
    assert found["items"] == found["different"] + found["repeats"] == 9000
    assert found["different"] == len(set(items))
    assert found["characters"] == Counter("".join(items))
    assert list(found["characters"].values()) == sorted(found["characters"].values(), reverse=True)
    assert found["length"]["histogram"] == {str(n): count for n, count in sorted(Counter(lengths).items())}
    assert found["length"]["mean"] == pytest.approx(sum(lengths) / 9000, abs=1e-4)
    assert found["length"]["quantiles"] == {
        "1%": lengths[89], "25%": lengths[2249], "50%": lengths[4499], "75%": lengths[6749], "99%": lengths[8909],
    }  # fmt: skip
    splits = split_items(read_items(path), "lecture", "")
    train = set(splits.train)
    seen = [sum(item in train for item in part) for part in (splits.dev, splits.test)]
    assert [found["splits"][name]["words_also_in_train"] for name in ("dev", "test")] == seen
    assert seen[0] > 0
    for name, part in zip(("train", "dev", "test"), splits.all, strict=True):
        assert found["splits"][name]["words"] == len(part)
        assert found["splits"][name]["examples"] == sum(len(word) + 1 for word in part)


def test_an_item_with_two_labels_is_no_repeat(tmp_path):
    """Catches repeats that the split `unique` keeps."""
    path = tmp_path / "items.csv"
    rows = [f"{name},{label}" for name in "abcdefghij" for label in "FMM"]
    path.write_text("\n".join(["name,sex", *rows]))
    found = describe(str(path), "unique", Columns("name", "sex"))
    assert (found["items"], found["different"], found["repeats"]) == (30, 20, 10)
    assert sum(part["words"] for part in found["splits"].values()) == found["different"]


def test_lines_have_the_numbers_an_editor_shows(odd, monkeypatch):
    """Catches blank lines left out, CRLF counted twice, and a count that restarts in each piece."""
    expected = [1, 3, 4, 6, 8, 9]
    for chunk in (1, 5, 1 << 16):
        monkeypatch.setattr("mm_lightning.data.files.text._CHUNK", chunk)
        text = read_text(odd)
        assert len(parse_items(text, "odd")) == 6
        assert line_numbers(text, np.arange(6)) == expected
        assert line_numbers(text, np.array([2, 4])) == [4, 8]
        assert line_numbers(text, np.array([], int)) == []


def test_rare_characters_are_counted_by_line(odd):
    """Catches a character that one line repeats counted as frequent, and repeated lines counted once."""
    rare = describe(str(odd), "lecture")["suspicious"]["rare"]
    assert rare["in_at_most"] == 1
    assert rare["shown"] == [
        {"line": 3, "item": "bob", "characters": "o"},
        {"line": 4, "item": "béa", "characters": "é"},
        {"line": 6, "item": "naan\u2028na", "characters": "\u2028"},
        {"line": 8, "item": "ab☃☃ b", "characters": "☃ "},
    ]
    assert (rare["characters"], rare["lines"]) == (5, 4)


def test_long_lines_are_those_far_beyond_the_others(tmp_path):
    """Catches a fixed limit, a limit that lines of nearly equal lengths exceed, and a list without an end."""
    path = tmp_path / "items.txt"
    path.write_text("\n".join(["abc"] * 50 + ["x" * 7] + ["x" * 6] * 50))
    assert describe(str(path), "lecture")["suspicious"]["long"]["lines"] == 0  # quartiles 3 and 6: beyond 15
    path.write_text("\n".join(["abc"] * 80 + ["x" * (7 + i) for i in range(12)] + ["x" * 6]))
    long = describe(str(path), "lecture")["suspicious"]["long"]
    assert (long["longer_than"], long["lines"]) == (6, 12)
    assert [line["line"] for line in long["shown"]] == list(range(83, 93))  # the ten longest
    text = as_text(describe(str(path), "lecture"))
    assert f"\n  line 92: {'x' * 18}\n  and 2 more\n" in text
