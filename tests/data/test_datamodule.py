"""The data module: contradicting settings, and the vocabulary of the train split."""

import re
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
from torch import Tensor

from mm_lightning.data import batches
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.vocabulary import UNKNOWN

WORDS = [UNKNOWN, "the", "dog", "cat", "sleeps", "שלום", "😀", "."]


class Recorder(pl.LightningModule):
    """A model that learns nothing, and records the targets of each batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.found: list[list[int]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self.found.append(batch[1].tolist())

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], batch_idx: int) -> None: ...

    def configure_optimizers(self) -> list[Any]:
        return []


@pytest.fixture
def words(tmp_path: Path) -> str:
    """A list of 100 different items of 1 to 50 characters, the shortest first."""
    path = tmp_path / "words.txt"
    path.write_text("\n".join(f"{letter * length}" for length in range(1, 51) for letter in "ab"))
    return str(path)


def make_trainer(**settings: Any) -> pl.Trainer:
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return pl.Trainer(accelerator="cpu", devices=1, enable_model_summary=False, **silent, **settings)


def trained_batches(words: str, state: dict[str, Any] | None = None, **settings: Any) -> tuple[list[list[int]], Any]:
    """Targets of each batch that a Trainer takes, and the state of the data module after the last."""
    data, model = ItemsDataModule(words, batch_size=50, block_size=3), Recorder()
    if state is not None:
        data.load_state_dict(state)
    make_trainer(limit_val_batches=0, **settings).fit(model, data)
    return model.found, data.state_dict()


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


def test_loaders_made_anew_go_on_with_the_batches(words: str):
    """Catches reloaded batches that begin again with each epoch, or at the position of the resumed checkpoint."""
    expected, _ = trained_batches(words, limit_train_batches=4, max_epochs=5)
    first, state = trained_batches(words, limit_train_batches=4, max_epochs=2, reload_dataloaders_every_n_epochs=1)
    rest, _ = trained_batches(words, state, limit_train_batches=4, max_epochs=3, reload_dataloaders_every_n_epochs=1)
    assert len(expected) == 20
    assert first + rest == expected


@pytest.mark.parametrize(("overfit_batches", "count"), [(2, 2), (0.5, 21)])
def test_overfitting_repeats_its_batches(
    words: str, monkeypatch: pytest.MonkeyPatch, overfit_batches: float, count: int
):
    """Catches new batches in each epoch, which cannot be overfitted, and others after the run is resumed."""
    monkeypatch.setattr(batches, "_MAX_SCORED_POSITIONS", 200)  # half of one batch of the dev split would be an error
    found, state = trained_batches(words, overfit_batches=overfit_batches, max_epochs=3)
    assert found == found[:count] * 3
    assert len({tuple(batch) for batch in found}) == count
    assert trained_batches(words, state, overfit_batches=overfit_batches, max_epochs=1)[0] == found[:count]


@pytest.mark.parametrize("limit", [1, 0.5])
def test_a_limited_measurement_takes_the_items_as_they_are_shuffled(words: str, limit: float):
    """Catches a loss of the shortest items, or of the longest, that is taken for the loss of the split."""
    data = ItemsDataModule(words)

    def lengths() -> list[list[int]]:
        loaders = data.val_dataloader(), data.test_dataloader()
        return [[length for _, y, _ in loader for length in (y >= 0).sum(1).tolist()] for loader in loaders]

    data.trainer = make_trainer(limit_val_batches=limit, limit_test_batches=limit)
    shuffled = [[len(item) + 1 for item in split] for split in (data.splits.dev, data.splits.test)]
    assert lengths() == shuffled
    data.trainer = make_trainer()
    assert lengths() == [*map(sorted, shuffled)] != shuffled
