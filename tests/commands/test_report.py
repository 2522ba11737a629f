"""The report: every figure against a naive count, and lines named as an editor numbers them."""

import json
from collections import Counter

import numpy as np
import pytest
from run_command import run

from mm_lightning.commands import report
from mm_lightning.data.reading import line_numbers, read_items
from mm_lightning.data.splits import split_items

ODD = "\ufeffanna\n\n  bob \r\nb\u00e9a\r\rnaan\u2028na\n\x1f\nab\u2603\u2603 b\r\nanna"


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.txt"
    path.write_bytes(ODD.encode())
    return path


def test_the_figures_are_those_of_a_naive_count(tmp_path):
    """Pieces counted twice or not at all, and a quantile beside its length."""
    rng = np.random.default_rng(0)
    items = ["".join(rng.choice(list("abcdé"), n)) for n in rng.integers(1, 30, 9000)]  # more than a piece
    path = tmp_path / "items.txt"
    path.write_text("\n".join(items), encoding="utf-8")
    found = report.describe(str(path), "lecture")
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
    seen = [sum(word in set(splits.train) for word in part) for part in (splits.dev, splits.test)]
    assert [found["splits"][name]["words_also_in_train"] for name in ("dev", "test")] == seen
    assert seen[0] > 0
    for name, part in zip(("train", "dev", "test"), splits.all, strict=True):
        assert found["splits"][name]["words"] == len(part)
        assert found["splits"][name]["examples"] == sum(len(word) + 1 for word in part)


def test_lines_have_the_numbers_an_editor_shows(odd, monkeypatch):
    """Blank lines not counted, CRLF counted twice, or a count that starts anew in each piece."""
    expected = [1, 3, 4, 6, 8, 9]
    for chunk in (1, 5, 1 << 16):
        monkeypatch.setattr("mm_lightning.data.text._CHUNK", chunk)
        assert len(read_items(odd)) == 6
        assert line_numbers(odd, np.arange(6)) == expected
        assert line_numbers(odd, np.array([2, 4])) == [4, 8]
        assert line_numbers(odd, np.array([], int)) == []


def test_rare_characters_are_counted_by_line(odd):
    """A character taken for frequent because one line repeats it, and for rare because few words are different."""
    rare = report.describe(str(odd), "lecture")["suspicious"]["rare"]
    assert rare["in_at_most"] == 1
    assert rare["shown"] == [
        {"line": 3, "item": "bob", "characters": "o"},
        {"line": 4, "item": "béa", "characters": "é"},
        {"line": 6, "item": "naan\u2028na", "characters": "\u2028"},
        {"line": 8, "item": "ab☃☃ b", "characters": "☃ "},
    ]
    assert (rare["characters"], rare["lines"]) == (5, 4)


def test_long_lines_are_those_far_beyond_the_others(tmp_path):
    """A fixed limit, all lines of a file of equal lengths, or a list without an end."""
    path = tmp_path / "items.txt"
    path.write_text("\n".join(["abc"] * 50 + ["x" * 7] + ["x" * 6] * 50))
    assert report.describe(str(path), "lecture")["suspicious"]["long"]["lines"] == 0  # quartiles 3 and 6: beyond 15
    path.write_text("\n".join(["abc"] * 80 + ["x" * (7 + i) for i in range(12)] + ["x" * 6]))
    long = report.describe(str(path), "lecture")["suspicious"]["long"]
    assert (long["longer_than"], long["lines"]) == (6, 12)
    assert [line["line"] for line in long["shown"]] == list(range(83, 93))  # the ten longest
    text = report.as_text(report.describe(str(path), "lecture"))
    assert f"\n  line 92: {'x' * 18}\n  and 2 more\n" in text


def test_a_wide_histogram_is_drawn_in_few_rows(tmp_path):
    """A thousand rows for a file with long lines, or words lost between them."""
    path = tmp_path / "items.txt"
    path.write_text("\n".join("x" * n for n in range(1, 1001)))
    rows = report._histogram(dict.fromkeys(range(1, 1001), 1))
    assert len(rows) == 39
    assert sum(int(row.split()[1]) for row in rows) == 1000
    assert rows[0].split()[:2] == ["0-25", "25"]


def test_the_command_writes_the_same_figures_as_json(odd):
    """Text and file that differ, escapes where characters could stand, and files left half-made."""
    done = run("report", "--data.path", "odd.txt", "--output", "odd.json", cwd=odd.parent)
    assert done.returncode == 0, done.stderr
    text = (odd.parent / "odd.json").read_text(encoding="utf-8")
    assert "☃" in text
    found = json.loads(text)
    assert found == {**report.describe(str(odd), "lecture"), "path": "odd.txt"}
    assert done.stdout == report.as_text(found) + "\n"
    assert "line 6 ('\\u2028'): naan\\u2028na" in done.stdout
    assert sorted(p.name for p in odd.parent.iterdir()) == ["odd.json", "odd.txt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--output", "figures.txt"), "output is figures.txt; its name must end in .json"),
        (("--output", "absent/figures.json"), "output: absent/figures.json cannot be written: No such file"),
        (("--output", "x.json", "--data.path", "absent.txt"), "absent.txt: no such file"),
    ],
    ids=["suffix", "folder", "data"],
)
def test_errors_are_one_line_and_leave_nothing(odd, options, message):
    """A traceback, or a JSON file of nothing."""
    done = run("report", "--data.path", "odd.txt", *options, cwd=odd.parent)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert [p.name for p in odd.parent.iterdir()] == ["odd.txt"]
