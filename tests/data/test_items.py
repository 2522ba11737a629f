"""The array of items, against Python's own strings, lists and sets."""

import random

import numpy as np
import pytest

from mm_lightning.data.items import Items

FAMILY = "👩\u200d👩\u200d👧"  # three people and two joiners: five code points
HEBREW = "שלום"


@pytest.fixture(params=[3, 1 << 16])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Chunk size: 3, so that a small test crosses the borders of chunks, and the real size."""
    monkeypatch.setattr("mm_lightning.data.files.text._CHUNK", request.param)
    return int(request.param)


def random_strings(count: int, seed: int) -> list[str]:
    """Short strings of few letters, so that many are equal and many share letters or prefixes."""
    rng = random.Random(seed)
    return ["".join(rng.choices(f"ab{HEBREW[0]}{FAMILY[0]}", k=rng.randint(1, 5))) for _ in range(count)]


def random_sentences(count: int, spaces: str = " ") -> list[str]:
    """Sentences with any white space in any place."""
    rng = random.Random(0)
    tokens = ["<unk>", "the", "dog", "sleeps", "שלום", "😀", ".", "thedog", "t"]
    return [
        "".join(rng.choice([rng.choice(tokens), "".join(rng.choices(spaces, k=2))]) for _ in range(12))
        for _ in range(count)
    ]


def test_strings_survive_the_way_to_code_points_and_back():
    """Catches code points cut at UTF-16 surrogates or UTF-8 bytes."""
    strings = ["emma", FAMILY, ".", HEBREW]
    assert list(Items.from_strings(strings)) == strings
    assert Items.from_strings([FAMILY]).lengths.tolist() == [5]
    assert list(Items.from_strings([])) == []


def test_a_slice_equals_that_of_a_list():
    """Catches offsets that still count from the first item, or an end beyond the last."""
    strings = random_strings(20, seed=1)
    items = Items.from_strings(strings)
    for start in (None, 0, 3, 19, 20, 30, -4):
        for stop in (None, 0, 3, 19, 20, 30, -4):
            part = items[start:stop]
            assert list(part) == strings[start:stop]
            assert len(part.code_points) == sum(map(len, strings[start:stop]))
    with pytest.raises(ValueError, match="step 2"):
        items[::2]


def test_take_selects_items_in_the_order_of_the_indices(chunk: int):
    """Catches items shifted at the border of a chunk, or an index used as an offset."""
    strings = random_strings(50, seed=2)
    indices = np.random.default_rng(3).integers(50, size=80)
    taken = Items.from_strings(strings).take(indices)
    assert list(taken) == [strings[i] for i in indices]
    assert len(Items.from_strings(strings).take(indices[:0])) == 0


def test_hashes_are_equal_exactly_for_equal_items(chunk: int):
    """Catches a hash blind to the order of characters or to length, or one that depends on the chunk."""
    strings = [*random_strings(2000, seed=4), "ab", "ba", "a", "aa", "aaa", "\x00", "\x00\x00"]
    hashes = Items.from_strings(strings).hashes().tolist()
    assert len(set(strings)) < len(strings)
    assert len(set(zip(strings, hashes, strict=True))) == len(set(strings)) == len(set(hashes))
    assert Items.from_strings(strings[::-1]).hashes().tolist() == hashes[::-1]


def test_unique_keeps_first_occurrences_in_order(chunk: int):
    """Catches an order that depends on the hash, which would change every split."""
    strings = random_strings(500, seed=5)
    assert list(Items.from_strings(strings).unique()) == list(dict.fromkeys(strings))


def test_tokens_equal_those_of_str_split(chunk: int):
    """Catches a word joined to the next sentence's first, an empty sentence lost, and unknown white space."""
    sentences = ["", *random_sentences(200, spaces=" \t\u00a0\u3000\x1c"), "", "end", ""]
    tokens, counts = Items.from_strings(sentences).tokens()
    assert list(tokens) == [token for sentence in sentences for token in sentence.split()]
    assert counts.tolist() == [len(sentence.split()) for sentence in sentences]


def test_white_space_inside_becomes_one_space():
    """Catches sentences that count as new because of a tab or a second space."""
    sentences = ["a", *(" ".join(s.split()).replace(" ", "\t \u3000") for s in random_sentences(50)), "b  c"]
    single = Items.from_strings(sentences).single_spaced()
    assert list(single) == [" ".join(sentence.split()) for sentence in sentences]


def test_sentences_take_a_byte_per_character():
    """Catches four bytes for each character of English text."""
    spaced = Items.from_strings(["a  dog", "the\tcat "])
    assert spaced.single_spaced().code_points.dtype == np.uint8
