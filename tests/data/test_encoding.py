"""Characters to ids, words to windows and padded rows, against the lecture's loop."""

import random

import numpy as np
import pytest
import torch

from mm_lightning.data.encoding import IGNORE, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary

FIVE_NAMES = ["emma", "olivia", "ava", "isabella", "sophia"]
LARGE = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))


def lecture_windows(strings: list[str], vocabulary: Vocabulary, block_size: int) -> tuple[list[list[int]], list[int]]:
    """X and Y as the lecture builds them, a character at a time."""
    xs, ys = [], []
    for string in strings:
        context = [BOUNDARY] * block_size
        for ix in [*(1 + vocabulary.alphabet.index(c) for c in string), BOUNDARY]:
            xs.append(context)
            ys.append(ix)
            context = [*context[1:], ix]
    return xs, ys


def random_words(alphabet: str, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(alphabet, k=draw.randint(1, 12))) for _ in range(60)]


@pytest.mark.parametrize("block_size", range(1, 9))
@pytest.mark.parametrize("alphabet", ["ab.", LARGE], ids=["few characters", "300 characters"])
def test_windows_equal_the_lectures_loop(alphabet: str, block_size: int):
    """A window that looks into the word before, is shifted by one, or loses ids over 255."""
    strings, vocabulary = random_words(alphabet, seed=block_size), Vocabulary(alphabet)
    windows = Windows(encode(Items.of(strings), vocabulary), block_size)
    xs, ys = (torch.tensor(part) for part in lecture_windows(strings, vocabulary, block_size))
    assert len(windows) == len(ys)
    rows = torch.randperm(len(ys), generator=torch.Generator().manual_seed(0))
    for order in (torch.arange(len(ys)), rows):
        x, y = windows.gather(order)
        assert x.dtype == y.dtype == torch.int64
        assert torch.equal(x, xs[order])
        assert torch.equal(y, ys[order])


def test_the_lectures_counts_of_examples():
    """The closing boundary left out, or counted twice: Emma gives 5 examples, the first five names 32."""
    vocabulary = Vocabulary("".join(sorted(set("".join(FIVE_NAMES)))))
    assert len(Windows(encode(Items.of(["emma"]), vocabulary), 3)) == 5
    assert len(Windows(encode(Items.of(FIVE_NAMES), vocabulary), 3)) == 32


def test_padded_words_layout():
    """x not shifted by one against y, padding that counts as a target, a last row read beyond the stream."""
    padded = PaddedItems(encode(Items.of(["ab", "c", "cab"]), Vocabulary("abc")))
    x, y = padded.gather(torch.tensor([2, 0, 1]))
    assert len(padded) == 3
    assert x.tolist() == [[0, 3, 1, 2], [0, 1, 2, 0], [0, 3, 0, 0]]
    assert y.tolist() == [[3, 1, 2, 0], [1, 2, 0, IGNORE], [3, 0, IGNORE, IGNORE]]
    x, y = padded.gather(torch.tensor([1]))
    assert (x.tolist(), y.tolist()) == ([[0, 3]], [[3, 0]])  # as wide as its own longest word


def test_padded_words_hold_the_same_targets_as_windows():
    """Two layouts that train on different data, in a stream of random words."""
    strings, vocabulary = random_words(LARGE, seed=9), Vocabulary(LARGE)
    _, y = PaddedItems(encode(Items.of(strings), vocabulary)).gather(torch.arange(len(strings)))
    assert y[y != IGNORE].tolist() == lecture_windows(strings, vocabulary, 1)[1]


@pytest.mark.parametrize(("characters", "dtype"), [(26, torch.uint8), (255, torch.uint8), (256, torch.int32)])
def test_storage_is_a_byte_per_character_where_it_can_be(characters: int, dtype: torch.dtype):
    """Memory eightfold, or the highest id wrapped round to the boundary."""
    alphabet = LARGE[:characters]
    encoded = encode(Items.of([alphabet, alphabet[-1]]), Vocabulary(alphabet))
    assert encoded.stream.dtype == dtype
    assert encoded.stream.tolist() == [*range(1, characters + 1), 0, characters, 0]


def test_windows_need_no_more_memory_than_the_stream():
    """A table of all windows, int64, made in advance: 24 bytes a character where one suffices."""
    encoded = encode(Items.of(["ab"] * 1000), Vocabulary("ab"))
    windows = Windows(encoded, 3)
    tensors = [value for value in vars(windows).values() if isinstance(value, torch.Tensor)]
    assert 0 < sum(tensor.untyped_storage().nbytes() for tensor in tensors) < encoded.stream.nbytes + 100


def test_vocabulary_numbers_characters_from_one():
    """The boundary mixed up with a real dot, or a character outside the table taken for one inside."""
    vocabulary = Vocabulary(".aא😀")
    assert len(vocabulary) == 5
    assert vocabulary.encode_item("😀.אa") == [4, 1, 3, 2]
    assert vocabulary.decode([4, 1, 3, 2]) == "😀.אa"
    assert vocabulary.decode_all(np.array([4, 1, 3]), np.array([0, 2, 0, 1])) == ["", "😀.", "", "א"]
    assert vocabulary.symbols() == [".", ".", "a", "א", "😀"]


def test_vocabulary_names_what_it_does_not_know():
    """Unknown characters turned into boundaries, which would end words in their middle."""
    with pytest.raises(ValueError, match=r"not in the model's alphabet: '!' 'b' '😀'$"):
        Vocabulary("ac").encode(Items.of(["a😀c", "b!b"]))
    with pytest.raises(ValueError, match="'z'"):
        encode(Items.of(["ac", "za"]), Vocabulary("ac"))


@pytest.mark.parametrize(("alphabet", "message"), [("", "empty"), ("aba", "repeats")])
def test_an_alphabet_that_is_none_is_an_error(alphabet: str, message: str):
    """A vocabulary in which two ids mean one character, or none means any."""
    with pytest.raises(ValueError, match=message):
        Vocabulary(alphabet)
