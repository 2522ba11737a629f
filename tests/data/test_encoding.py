"""Windows and padded items, against the lecture's loop."""

import random

import pytest
import torch

from mm_lightning.data.encoding import IGNORE, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY, UNKNOWN, Vocabulary, WordVocabulary

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


def random_strings(alphabet: str, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(alphabet, k=rng.randint(1, 12))) for _ in range(60)]


@pytest.mark.parametrize("block_size", range(1, 9))
@pytest.mark.parametrize("alphabet", ["ab.", LARGE], ids=["few characters", "300 characters"])
def test_windows_equal_the_lectures_loop(alphabet: str, block_size: int):
    """Catches a window that sees the item before, is shifted by one, or loses ids over 255."""
    strings, vocabulary = random_strings(alphabet, seed=block_size), Vocabulary(alphabet)
    windows = Windows(encode(Items.from_strings(strings), vocabulary), block_size)
    xs, ys = map(torch.tensor, lecture_windows(strings, vocabulary, block_size))
    assert len(windows) == len(ys)
    shuffled = torch.randperm(len(ys), generator=torch.Generator().manual_seed(0))
    for rows in (torch.arange(len(ys)), shuffled):
        x, y = windows.gather(rows)
        assert x.dtype == y.dtype == torch.int64
        assert torch.equal(x, xs[rows])
        assert torch.equal(y, ys[rows])


def test_the_lectures_counts_of_examples():
    """Catches a closing boundary left out or counted twice: Emma gives 5 examples, the first five names 32."""
    vocabulary = Vocabulary("".join(sorted(set("".join(FIVE_NAMES)))))
    assert len(Windows(encode(Items.from_strings(["emma"]), vocabulary), 3)) == 5
    assert len(Windows(encode(Items.from_strings(FIVE_NAMES), vocabulary), 3)) == 32


def test_layout_of_padded_items():
    """Catches x not shifted by one against y, padding that counts as a target, and a read beyond the stream."""
    padded = PaddedItems(encode(Items.from_strings(["ab", "c", "cab"]), Vocabulary("abc")))
    x, y = padded.gather(torch.tensor([2, 0, 1]))
    assert len(padded) == 3
    assert x.tolist() == [[0, 3, 1, 2], [0, 1, 2, 0], [0, 3, 0, 0]]
    assert y.tolist() == [[3, 1, 2, 0], [1, 2, 0, IGNORE], [3, 0, IGNORE, IGNORE]]
    x, y = padded.gather(torch.tensor([1]))
    assert (x.tolist(), y.tolist()) == ([[0, 3]], [[3, 0]])  # as wide as the batch's longest item


def test_padded_items_have_the_same_targets_as_windows():
    """Catches two layouts that train on different data."""
    strings, vocabulary = random_strings(LARGE, seed=9), Vocabulary(LARGE)
    _, y = PaddedItems(encode(Items.from_strings(strings), vocabulary)).gather(torch.arange(len(strings)))
    assert y[y != IGNORE].tolist() == lecture_windows(strings, vocabulary, 1)[1]


def test_sentences_are_encoded_word_by_word():
    """Catches a stream as long as the characters, and windows that see the sentence before."""
    vocabulary = WordVocabulary([UNKNOWN, "the", "dog", "cat", "sleeps"])
    encoded = encode(Items.from_strings(["the dog  sleeps", "a cat"]), vocabulary)
    assert encoded.stream.tolist() == [2, 3, 5, 0, 1, 4, 0]
    assert encoded.starts.tolist() == [0, 4]
    x, y = Windows(encoded, 2).gather(torch.arange(7))
    assert x.tolist() == [[0, 0], [0, 2], [2, 3], [3, 5], [0, 0], [0, 1], [1, 4]]
    assert y.tolist() == [2, 3, 5, 0, 1, 4, 0]
    assert PaddedItems(encoded).gather(torch.tensor([1]))[0].tolist() == [[0, 1, 4]]


@pytest.mark.parametrize(("characters", "dtype"), [(26, torch.uint8), (255, torch.uint8), (256, torch.int32)])
def test_storage_is_a_byte_per_character_where_possible(characters: int, dtype: torch.dtype):
    """Catches eight times the memory, and the highest id wrapped round to the boundary."""
    alphabet = LARGE[:characters]
    encoded = encode(Items.from_strings([alphabet, alphabet[-1]]), Vocabulary(alphabet))
    assert encoded.stream.dtype == dtype
    assert encoded.stream.tolist() == [*range(1, characters + 1), 0, characters, 0]


def test_windows_need_no_more_memory_than_the_stream():
    """Catches a table of all windows, int64, made in advance: 24 bytes per character where one suffices."""
    encoded = encode(Items.from_strings(["ab"] * 1000), Vocabulary("ab"))
    windows = Windows(encoded, 3)
    tensors = [value for value in vars(windows).values() if isinstance(value, torch.Tensor)]
    assert 0 < sum(tensor.untyped_storage().nbytes() for tensor in tensors) < encoded.stream.nbytes + 100
