"""The report command: its text, its file and its errors."""

import json

import pytest
from run_command import run

from mm_lightning.commands import report
from mm_lightning.commands.parts.parsing.parser import descriptions
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.evaluation.data_report import describe

ODD = "anna\nbob\nb\u00e9a\nnaan\u2028na\nab\u2603\u2603 b\nanna"


@pytest.fixture
def odd(tmp_path):
    path = tmp_path / "odd.txt"
    path.write_text(ODD, encoding="utf-8")
    return path


def test_the_data_are_described_as_in_fit():
    """Catches a second text on an option of the data, which goes stale, or none."""
    shown = " ".join(report.make_parser().format_help().split())
    texts = descriptions(ItemsDataModule)
    for name in ("path", "split", "item", "label", "weight"):
        assert texts[name]
        assert " ".join(texts[name].split()) in shown
    assert "UTF-16 with a byte order mark" in texts["path"]


def test_a_wide_histogram_has_few_rows():
    """Catches a thousand rows for a file with long lines, and items lost between rows."""
    rows = report._histogram(dict.fromkeys(range(1, 1001), 1))
    assert len(rows) == 39
    assert sum(int(row.split()[1]) for row in rows) == 1000
    assert rows[0].split()[:2] == ["0-25", "25"]


def test_the_command_writes_the_same_figures_as_json(odd):
    """Catches a file that differs from the text, escaped characters in it, and partial files left behind."""
    done = run("report", "--data.path", "odd.txt", "--output", "odd.json", cwd=odd.parent)
    assert done.returncode == 0, done.stderr
    text = (odd.parent / "odd.json").read_text(encoding="utf-8")
    assert "☃" in text
    found = json.loads(text)
    assert found == {**describe(str(odd), "lecture"), "path": "odd.txt"}
    assert done.stdout == report.as_text(found) + "\n"
    assert "line 4 ('\\u2028'): naan\\u2028na" in done.stdout
    assert sorted(p.name for p in odd.parent.iterdir()) == ["odd.json", "odd.txt"]


def test_a_list_without_held_out_items_is_described(odd):
    """Catches a division by the number of dev items, of which there are none."""
    text = report.as_text(describe(str(odd), "all"))
    assert [line.split() for line in text.splitlines() if line.startswith(("  dev", "  test"))] == [
        ["dev", "0", "0"],
        ["test", "0", "0"],
    ]


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
    """Catches a traceback, and a file left behind by a failed command."""
    done = run("report", "--data.path", "odd.txt", *options, cwd=odd.parent)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert [p.name for p in odd.parent.iterdir()] == ["odd.txt"]
