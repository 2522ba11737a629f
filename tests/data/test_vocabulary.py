"""Vocabularies of characters and of words, against Python's own string methods."""

import random
from dataclasses import replace

import numpy as np
import pytest

from mm_lightning.data.encoding import encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import UNKNOWN, Vocabulary, WordVocabulary, abbreviated, make_vocabulary

WORDS = [UNKNOWN, "the", "dog", "cat", "sleeps", "שלום", "😀", "."]


def random_sentences(count: int) -> list[str]:
    """Sentences of known and unknown words."""
    rng = random.Random(0)
    tokens = [*WORDS, "thedog", "t", "do", "dogs", "Dog"]
    return ["".join(rng.choice([rng.choice(tokens), "  "]) for _ in range(12)) for _ in range(count)]


def test_characters_have_ids_from_one():
    """Catches the boundary taken for a real dot, or a character outside the table taken for one inside."""
    vocabulary = Vocabulary(".aא😀")
    assert len(vocabulary) == 5
    assert vocabulary.encode_item("😀.אa") == [4, 1, 3, 2]
    assert vocabulary.decode([4, 1, 3, 2]) == "😀.אa"
    assert vocabulary.decode_all(np.array([4, 1, 3]), np.array([0, 2, 0, 1])) == ["", "😀.", "", "א"]
    assert vocabulary.symbols() == [".", ".", "a", "א", "😀"]


def test_unknown_characters_are_an_error_that_names_them():
    """Catches unknown characters turned into boundaries, which would end items in their middle."""
    with pytest.raises(ValueError, match=r"not in the model's alphabet: '!' 'b' '😀'$"):
        Vocabulary("ac").encode(Items.from_strings(["a😀c", "b!b"]))
    with pytest.raises(ValueError, match="'z'"):
        encode(Items.from_strings(["ac", "za"]), Vocabulary("ac"))


@pytest.mark.parametrize(
    ("alphabet", "message"),
    [
        ("", "empty"),
        ("aba", "repeats"),
        ([], "empty"),
        ([UNKNOWN], "begins with '<unk>' and has at least one word"),
        (["a", "b"], "begins with '<unk>'"),
        ([UNKNOWN, "a", "a"], "repeats"),
        ([UNKNOWN, "a b"], "'a b', which is not one word"),
        ([UNKNOWN, ""], "'', which is not one word"),
    ],
)
def test_an_invalid_alphabet_is_an_error(alphabet: str | list[str], message: str):
    """Catches ids that no text can have, two ids of one token, and a model that may sample no token."""
    with pytest.raises(ValueError, match=message):
        make_vocabulary(alphabet)


@pytest.mark.parametrize("chunk", [3, 1 << 16])
def test_ids_equal_a_loop_over_words(monkeypatch: pytest.MonkeyPatch, chunk: int):
    """Catches an unknown word with the id of its neighbour in the order of hashes, and ids shifted by one."""
    monkeypatch.setattr("mm_lightning.data.files.text._CHUNK", chunk)
    vocabulary, sentences = WordVocabulary(WORDS), random_sentences(100)
    expected = [[1 + WORDS.index(t) if t in WORDS else 1 for t in sentence.split()] for sentence in sentences]
    ids, counts = vocabulary.encode(Items.from_strings(sentences))
    assert ids.tolist() == [i for sentence in expected for i in sentence]
    assert counts.tolist() == [len(sentence) for sentence in expected]
    assert [vocabulary.encode_item(sentence) for sentence in sentences[:20]] == expected[:20]
    assert len(vocabulary) == 9


def test_known_sentences_survive_the_way_to_ids_and_back():
    """Catches words joined without a space, and a real dot taken for the boundary."""
    vocabulary = WordVocabulary(WORDS)
    assert vocabulary.decode(vocabulary.encode_item("the dog . sleeps 😀 שלום")) == "the dog . sleeps 😀 שלום"
    assert vocabulary.decode(vocabulary.encode_item(" the\tbird  sleeps ")) == "the <unk> sleeps"
    assert vocabulary.decode([]) == ""
    assert vocabulary.symbols() == [".", *WORDS]
    assert vocabulary.unknown_characters(Items.from_strings(["zebra"])) == []


def test_the_most_frequent_words_have_ids():
    """Catches a limit without the boundary or `<unk>`, the rarest words kept, and a second `<unk>` from the text."""
    text = ["b a c", "a b", "<unk> <unk> <unk> <unk> a", "d"]
    for max_size in (3, 4, 5, 6, 60, None):
        vocabulary = WordVocabulary.from_sentences(Items.from_strings(text), max_size)
        assert vocabulary.alphabet == [UNKNOWN, "a", "b", "c", "d"][: max_size - 1 if max_size else None]
        assert max_size is None or len(vocabulary) <= max_size


def test_words_of_equal_count_keep_their_order_of_occurrence():
    """Catches an order that depends on hashes."""
    tokens = [f"w{i}" for i in random.Random(0).sample(range(1000), 300)]
    sentence = Items.from_strings([" ".join(tokens)])
    assert WordVocabulary.from_sentences(sentence, 200).alphabet == [UNKNOWN, *tokens[:198]]


def test_a_word_counts_as_often_as_the_weights_of_its_sentences_say():
    """Catches a frequent word turned into `<unk>` because the list has its sentence once."""
    text, weights = ["a cat", "a cat b", "a dog", "b"], [1, 1, 10**12, 2]
    plain = Items.from_strings(text)
    weighted = replace(plain, weights=np.array(weights))
    assert WordVocabulary.from_sentences(plain, 4).alphabet == [UNKNOWN, "a", "cat"]
    assert WordVocabulary.from_sentences(weighted, None).alphabet == [UNKNOWN, "a", "dog", "b", "cat"]
    written_out = Items.from_strings([text[i] for i in (0, 1, 2, 2, 2, 3, 3)])
    few = replace(plain, weights=np.array([1, 1, 3, 2]))
    assert WordVocabulary.from_sentences(few, 4).alphabet == WordVocabulary.from_sentences(written_out, 4).alphabet


def test_the_type_of_the_alphabet_selects_the_vocabulary():
    """Catches a checkpoint of sentences read character by character."""
    assert make_vocabulary("ab").encode_item("ab") == [1, 2]
    assert make_vocabulary([UNKNOWN, "ab"]).encode_item("ab") == [2]


def test_a_long_alphabet_is_abbreviated_to_its_size():
    """Catches an error message or a table filled by thousands of words."""
    assert abbreviated("ab") == "ab"
    assert abbreviated("".join(map(chr, range(256, 1256)))) == "1,000 characters"
    assert abbreviated(WORDS) == "8 words"
