"""Reading, splitting and comparing words, against Python's own strings, lists and sets."""

import random
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from mm_lightning.data import items
from mm_lightning.data.items import MAX_LENGTH, Items, parse_items, read_items
from mm_lightning.data.splits import split_items

FAMILY = "👩\u200d👩\u200d👧"  # three people and two joiners: five code points
HEBREW = "שלום"


@pytest.fixture(params=[3, items._CHUNK])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Items or characters handled at once: few, so that a small test crosses borders, and the real number."""
    monkeypatch.setattr(items, "_CHUNK", request.param)
    return int(request.param)


def random_words(count: int, seed: int) -> list[str]:
    """Short words of few letters, so that many repeat and many share letters or beginnings."""
    draw = random.Random(seed)
    return ["".join(draw.choices(f"ab{HEBREW[0]}{FAMILY[0]}", k=draw.randint(1, 5))) for _ in range(count)]


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
        pytest.param(b"a\x00b\n", ["a\x00b"], id="NUL"),
    ],
)
def test_a_file_is_read_line_by_line(tmp_path: Path, content: bytes, expected: list[str]):
    """A BOM or CR kept as a character, a blank line read as an empty word, a dot taken for the boundary."""
    path = tmp_path / "items.txt"
    path.write_bytes(content)
    result = read_items(path)
    assert list(result) == expected
    assert len(result) == len(expected)
    assert result.lengths.tolist() == [len(word) for word in expected]
    assert result.alphabet() == "".join(sorted(set("".join(expected))))


def test_every_white_space_is_stripped_and_kept_inside():
    """A table of white space that lacks a character that str.strip knows, or has one that it does not."""
    spaces = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace() and c not in "\r\n"]
    assert len(spaces) > 20
    text = "\n".join(f"{c}{c}a{c}b{c}" for c in spaces) + "\n\u200b\u200b\ufeff\n"
    assert list(parse_items(text, "text")) == [*(f"a{c}b" for c in spaces), "\u200b\u200b\ufeff"]


def test_parse_agrees_with_string_methods(chunk: int):
    """Any slip in the arithmetic of line borders, on texts with breaks and blanks in all places."""
    draw = random.Random(1)
    for _ in range(300):
        text = "x" + "".join(draw.choices(f"ab \t\u3000\r\n.{FAMILY}", k=draw.randint(0, 40)))
        assert list(parse_items(text, "text")) == [w for w in map(str.strip, re.split(r"[\r\n]", text)) if w]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\xef\xbb\xbf", "is empty", id="only a BOM"),
        pytest.param(b"\n \t\r\n\n", "is empty", id="only blanks"),
        pytest.param("emma\nava\nzoë\n".encode("latin-1"), "not UTF-8 .*0xeb in line 3", id="Latin-1"),
        pytest.param("emma\rava\rzoë\r".encode("latin-1"), "not UTF-8 .*0xeb in line 3", id="Latin-1, lone CR"),
        pytest.param("emma\n".encode("utf-16"), "not UTF-8 .*line 1", id="UTF-16"),
        pytest.param(b"emma\n\n" + b"x" * (MAX_LENGTH + 1) + b"\nava", "line 3 has 1001 characters", id="too long"),
        pytest.param(b"emma\r\n\r\n" + b"x" * (MAX_LENGTH + 1), "line 3 has 1001 characters", id="too long, CRLF"),
        pytest.param(b"emma\r\r" + b"x" * (MAX_LENGTH + 1), "line 3 has 1001 characters", id="too long, lone CR"),
    ],
)
def test_an_unfit_file_is_named_with_the_place(tmp_path: Path, content: bytes, message: str):
    """A user sent to the wrong line, or not told which file it is."""
    path = tmp_path / "items.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"items.txt.*{message}"):
        read_items(path)


def test_the_longest_line_allowed_is_read_items():
    """A limit one off, or counted before stripping."""
    assert parse_items(" " * 5 + "x" * MAX_LENGTH + "\n", "text").lengths.tolist() == [MAX_LENGTH]


def test_a_path_that_is_no_file_is_an_error(tmp_path: Path):
    """A traceback, or an empty data set, for a mistyped path."""
    with pytest.raises(ValueError, match="no such file"):
        read_items(tmp_path / "missing.txt")
    with pytest.raises(ValueError, match="is a folder"):
        read_items(tmp_path)


def test_words_of_strings_and_back():
    """Code points cut at UTF-16 surrogates or UTF-8 bytes."""
    strings = ["emma", FAMILY, ".", HEBREW]
    assert list(Items.of(strings)) == strings
    assert Items.of([FAMILY]).lengths.tolist() == [5]
    assert list(Items.of([])) == []


def test_take_picks_words_in_the_order_asked_for(chunk: int):
    """Items shifted where a chunk begins, or an index used as an offset."""
    strings = random_words(50, seed=2)
    places = np.random.default_rng(3).integers(50, size=80)
    taken = Items.of(strings).take(places)
    assert list(taken) == [strings[i] for i in places]
    assert len(Items.of(strings).take(places[:0])) == 0


def test_hashes_are_equal_exactly_for_equal_words(chunk: int):
    """A hash blind to the order of characters, to length, or different from one chunk to the next."""
    strings = [*random_words(2000, seed=4), "ab", "ba", "a", "aa", "aaa", "\x00", "\x00\x00"]
    hashes = Items.of(strings).hashes().tolist()
    assert len(set(strings)) < len(strings)
    assert len(set(zip(strings, hashes, strict=True))) == len(set(strings)) == len(set(hashes))
    assert Items.of(strings[::-1]).hashes().tolist() == hashes[::-1]


def test_unique_keeps_each_word_at_its_first_place(chunk: int):
    """An order that depends on the hash, which would change every split."""
    strings = random_words(500, seed=5)
    assert list(Items.of(strings).unique()) == list(dict.fromkeys(strings))


@pytest.mark.parametrize("count", [6, 10, 99, 1000])
@pytest.mark.parametrize("how", ["lecture", "unique"])
def test_split_shuffles_and_cuts_as_the_lecture_does(how: str, count: int):
    """Another shuffle, seed or rounding than random.Random(42).shuffle and int(0.8 n), int(0.9 n)."""
    strings = [f"word{i}" for i in range(count)] * 2
    result = split_items(Items.of(strings), how, "text")
    expected = strings if how == "lecture" else strings[:count]
    random.Random(42).shuffle(expected)
    first, second = int(0.8 * len(expected)), int(0.9 * len(expected))
    assert [*map(list, (result.train, result.dev, result.test))] == [
        expected[:first],
        expected[first:second],
        expected[second:],
    ]


def test_lecture_split_of_makemores_names(makemore: Path):
    """Any departure from the lecture's data: its published losses would no longer be comparable."""
    result = split_items(read_items(makemore), "lecture", "names")
    parts = (result.train, result.dev, result.test)
    assert [len(part) for part in parts] == [25_626, 3_203, 3_204]
    assert [len(part.codes) + len(part) for part in parts] == [182_625, 22_655, 22_866]
    assert np.isin(result.dev.hashes(), result.train.hashes()).sum() == 424
    train = set(result.train)
    assert sum(word in train for word in result.dev) == 424


def test_unique_split_has_no_word_on_two_sides(makemore: Path):
    """A loss called "unseen" that was measured on words of the training split."""
    result = split_items(read_items(makemore), "unique", "names")
    train, dev, test = set(result.train), set(result.dev), set(result.test)
    assert len(train) + len(dev) + len(test) == len(train | dev | test) == len(set(read_items(makemore)))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_a_file_too_small_to_split_is_an_error(count: int):
    """Training without validation, or on nothing, without a word."""
    with pytest.raises(ValueError, match=r"text .*leaves the (train|dev) split empty"):
        split_items(Items.of(f"word{i}" for i in range(count)), "lecture", "text")


def test_repeats_do_not_help_a_file_too_small_to_split_items():
    """Counting items before the repeats are removed."""
    with pytest.raises(ValueError, match="split empty"):
        split_items(Items.of(["emma", "ava"] * 10), "unique", "text")


def test_the_error_names_the_least_number_of_items_that_works():
    """A user told to find more items than are needed."""
    with pytest.raises(ValueError, match=r"at least \d+ are needed") as raised:
        split_items(Items.of(["emma"]), "lecture", "text")
    least = int(re.findall(r"at least (\d+)", str(raised.value))[0])
    assert len(split_items(Items.of(["emma"] * least), "lecture", "text").dev) == 1
    with pytest.raises(ValueError, match="split empty"):
        split_items(Items.of(["emma"] * (least - 1)), "lecture", "text")
