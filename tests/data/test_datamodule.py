"""The data module: contradicting settings, and the vocabulary of the train split."""

import re
from pathlib import Path

import pytest

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.vocabulary import UNKNOWN

WORDS = [UNKNOWN, "the", "dog", "cat", "sleeps", "שלום", "😀", "."]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_vocab": 100}, "data.max_vocab is 100, but characters are never left out"),
        ({"alphabet": [UNKNOWN, "a"]}, "data.alphabet is a list of words, but data.tokens is characters"),
        ({"tokens": "words", "alphabet": "ab"}, "data.alphabet is a string of characters, but data.tokens is words"),
        ({"tokens": "words", "max_vocab": 5, "alphabet": WORDS}, "makes 9 ids, but data.max_vocab is 5"),
    ],
)
def test_settings_without_effect_are_errors(settings: dict, message: str):
    """Catches a limit or a kind of token that is ignored."""
    with pytest.raises(ValueError, match=re.escape(message)):
        ItemsDataModule(**settings)


def test_the_vocabulary_is_that_of_the_train_split(tmp_path: Path):
    """Catches words of dev or test in the vocabulary, and a repeat missed for its white space."""
    (tmp_path / "text.txt").write_text("\n".join(f"w{i}\tw{i}  x" for i in range(50)))
    data = ItemsDataModule(str(tmp_path / "text.txt"), tokens="words")
    data.setup("fit")
    train = {token for sentence in data.splits.train for token in sentence.split()}
    assert set(data.alphabet) == train | {UNKNOWN}
    assert len(train) == 41
    assert data.examples.lengths.tolist() == [3] * 40
    data.block_size = 2
    assert data.targets_per_step == 32  # windows; a whole sentence has 4 targets
    data.block_size = None
    assert data.targets_per_step == 32 * 4
    assert data.is_new([data.splits.train[0], data.splits.dev[0]]) == [False, True]


def test_labels_are_found_beside_a_given_alphabet():
    """Catches labels that are only known once the alphabet has been looked for in the data."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    assert set(ItemsDataModule("data/names.csv", item="name", label="sex", alphabet=alphabet).labels) == {"F", "M"}
