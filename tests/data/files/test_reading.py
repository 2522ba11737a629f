"""Reading a file of items, against Python's own string methods."""

import random
import re
import sys
from pathlib import Path

import pytest

from mm_lightning.data.files.reading import MAX_LENGTH, parse_items, read_items

FAMILY = "👩\u200d👩\u200d👧"  # three people and two joiners: five code points
HEBREW = "שלום"
TOO_LONG = b"x" * (MAX_LENGTH + 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"emma\nava\n", ["emma", "ava"], id="plain"),
        pytest.param(b"emma\nava", ["emma", "ava"], id="no newline at the end"),
        pytest.param(b"\xef\xbb\xbfemma\nava\n", ["emma", "ava"], id="BOM"),
        pytest.param(b"emma\r\nava\r\n", ["emma", "ava"], id="CRLF"),
        pytest.param(b"emma\rava\r", ["emma", "ava"], id="lone CR"),
        pytest.param(b"\n\n emma\n \t\n\r\nava\n\n", ["emma", "ava"], id="blank lines"),
        pytest.param(b"  mary ann\t\n", ["mary ann"], id="spaces inside"),
        pytest.param(b".\na.b\n...\n", [".", "a.b", "..."], id="dots"),
        pytest.param(f"{HEBREW}\nzoë\n{FAMILY}\n".encode(), [HEBREW, "zoë", FAMILY], id="scripts"),
        pytest.param("\ufeffzoë\r\nava\r\n".encode("utf-16-le"), ["zoë", "ava"], id="UTF-16, as of Windows"),
        pytest.param(f"\ufeff{HEBREW}\n{FAMILY}".encode("utf-16-be"), [HEBREW, FAMILY], id="UTF-16, big-endian"),
    ],
)
def test_a_file_is_read_line_by_line(tmp_path: Path, content: bytes, expected: list[str]):
    """Catches a BOM or CR read as a character, a blank line as an item, a dot as the boundary, and UTF-16 refused."""
    path = tmp_path / "items.txt"
    path.write_bytes(content)
    result = read_items(path)
    assert list(result) == expected
    assert len(result) == len(expected)
    assert result.lengths.tolist() == [len(item) for item in expected]
    assert result.alphabet() == "".join(sorted(set("".join(expected))))


def test_every_white_space_is_stripped_at_the_ends_only():
    """Catches a table of white space that differs from that of str.strip."""
    spaces = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace() and c not in "\r\n"]
    assert len(spaces) > 20
    text = "\n".join(f"{c}{c}a{c}b{c}" for c in spaces) + "\n\u200b\u200b\ufeff\n"
    assert list(parse_items(text, "text")) == [*(f"a{c}b" for c in spaces), "\u200b\u200b\ufeff"]


@pytest.mark.parametrize("chunk", [3, 1 << 16])
def test_parse_agrees_with_string_methods(monkeypatch: pytest.MonkeyPatch, chunk: int):
    """Catches wrong line borders, on texts with breaks and blanks in all places, within chunks and between them."""
    monkeypatch.setattr("mm_lightning.data.files.text._CHUNK", chunk)
    rng = random.Random(1)
    for _ in range(300):
        text = "x" + "".join(rng.choices(f"ab \t\u3000\r\n.{FAMILY}", k=rng.randint(0, 40)))
        assert list(parse_items(text, "text")) == [line for line in map(str.strip, re.split(r"[\r\n]", text)) if line]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\xef\xbb\xbf", "is empty", id="only a BOM"),
        pytest.param(b"\n \t\r\n\n", "is empty", id="only blanks"),
        pytest.param("emma\nava\nzoë\n".encode("latin-1"), "not UTF-8 .*0xeb in line 3", id="Latin-1"),
        pytest.param("emma\rava\rzoë\r".encode("latin-1"), "not UTF-8 .*0xeb in line 3", id="Latin-1, lone CR"),
        pytest.param(b"\xef\xbb\xbf" + "a\nzoë\n".encode("latin-1"), "not UTF-8 .*0xeb in line 2", id="Latin-1, BOM"),
        pytest.param(b"ava\na\x00b\n", "NUL character in line 2; remove it", id="NUL"),
        pytest.param("ava\n".encode("utf-16-le"), "NUL .* line 1.*iconv -f utf-16le", id="UTF-16 without BOM"),
        pytest.param("ava\n".encode("utf-32"), "NUL character in line 1", id="UTF-32"),
        pytest.param("ava\n".encode("utf-16")[:-1], r"is not UTF-16 \(byte 8\)", id="UTF-16, cut short"),
        pytest.param(b"emma\n\n" + TOO_LONG + b"\nava", "line 3 has 1001 characters", id="too long"),
        pytest.param(b"emma\r\n\r\n" + TOO_LONG, "line 3 has 1001 characters", id="too long, CRLF"),
        pytest.param(b"emma\r\r" + TOO_LONG, "line 3 has 1001 characters", id="too long, lone CR"),
    ],
)
def test_an_error_names_the_file_and_the_line(tmp_path: Path, content: bytes, message: str):
    """Catches an error that names the wrong line, byte or remedy, or no file, and items with a NUL per letter."""
    path = tmp_path / "items.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"items.txt.*{message}"):
        read_items(path)


def test_an_item_of_the_largest_length_is_read():
    """Catches a limit that is off by one, or checked before stripping."""
    assert parse_items(" " * 5 + "x" * MAX_LENGTH + "\n", "text").lengths.tolist() == [MAX_LENGTH]


def test_a_path_that_is_no_file_is_an_error(tmp_path: Path):
    """Catches a traceback, or an empty data set, for a mistyped path."""
    with pytest.raises(ValueError, match="no such file"):
        read_items(tmp_path / "missing.txt")
    with pytest.raises(ValueError, match="is a folder"):
        read_items(tmp_path)
