"""The LightningDataModule: a file of words, its splits, and batches of them on the device."""

from functools import cached_property
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray

from mm_lightning import shipped, words
from mm_lightning.batches import TrainBatches, WordBatches
from mm_lightning.encoding import EncodedWords, Examples, PaddedWords, Windows, encode
from mm_lightning.vocabulary import Vocabulary
from mm_lightning.words import SplitName, Splits, Words


class WordsDataModule(pl.LightningDataModule):
    """Words of a text file, one a line, split 80/10/10 by word.

    Args:
        path: The file, UTF-8. data/names.txt comes with the package.
        split: lecture keeps repeated words, as the lecture does; unique removes them, so that no word of dev or test
            occurs in training.
        batch_size: Examples per optimiser step and device: windows, or words for a network that reads whole words;
            null for all examples at once.
        block_size: Context in characters, from the network; null for networks that read whole words.
        alphabet: The characters; null takes those of the file. A checkpoint brings its own.
        seed: Of the order of training, from seed_everything.
    """

    def __init__(
        self,
        path: str = "data/names.txt",
        split: SplitName = "lecture",
        batch_size: int | None = 32,
        block_size: int | None = None,
        alphabet: str | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__()
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"data.batch_size is {batch_size}; it must be at least 1")
        self.save_hyperparameters(ignore=["alphabet"])  # the module keeps it; two owners could disagree
        self.path = path
        self.split: SplitName = split
        self.batch_size = batch_size
        self.block_size = block_size
        self.seed = seed
        self._alphabet = alphabet
        self._batches: TrainBatches | None = None
        self._state: dict[str, Any] = {}

    @cached_property
    def words(self) -> Words:
        """All words of the file."""
        return words.read(shipped.find(self.path))

    @cached_property
    def alphabet(self) -> str:
        """The characters given, else those of the file."""
        return self.words.alphabet() if self._alphabet is None else self._alphabet

    @cached_property
    def splits(self) -> Splits:
        """Train, dev and test words."""
        return words.split(self.words, self.split, self.path)

    @property
    def targets_per_step(self) -> int:
        """Characters and closing boundaries that a device predicts in one step, in the mean."""
        words, targets = len(self.splits.train), len(self.splits.train) + len(self.splits.train.codes)
        examples = targets if self.block_size else words
        return min(self.batch_size or examples, examples) * targets // examples

    @cached_property
    def _train_hashes(self) -> NDArray[np.uint64]:
        return self.splits.train.hashes()

    @cached_property
    def _digest(self) -> str:
        """A number that other training words, or another order of them, would change."""
        places = np.arange(1, 2 * len(self._train_hashes), 2, dtype=np.uint64)
        return f"{int((self._train_hashes * places).sum(dtype=np.uint64)):016x}"

    def setup(self, stage: str) -> None:
        """Read, check and split the file, once.

        Raises:
            ValueError: If the file is unfit, has characters outside the alphabet, or is not the one that the run
                being resumed was trained on.
        """
        unknown = sorted(set(self.words.alphabet()) - set(self.alphabet))
        if unknown:
            raise ValueError(
                f"{self.path} has characters that the model does not know: {' '.join(map(repr, unknown[:20]))}; "
                "use data in its alphabet, or train a new model"
            )
        if stage == "fit" and self._state.get("digest", self._digest) != self._digest:
            raise ValueError(
                f"{self.path} (split {self.split}) is not what this checkpoint was trained on; "
                "resume with the same data, or start a new run"
            )

    def train_dataloader(self) -> TrainBatches:
        """Shuffled batches of the train split, from where the run stopped."""
        encoded = self._encode(self.splits.train)
        examples: Examples = Windows(encoded, self.block_size) if self.block_size else PaddedWords(encoded)
        position = self._state.get("position", 0)
        trainer = self._trainer()
        self._batches = TrainBatches(
            examples, self.batch_size, self.seed, position, trainer.global_rank, trainer.world_size
        )
        return self._batches

    def val_dataloader(self) -> WordBatches:
        """Whole words of the dev split."""
        return self.word_batches(self.splits.dev)

    def test_dataloader(self) -> WordBatches:
        """Whole words of the test split."""
        return self.word_batches(self.splits.test)

    def word_batches(self, some: Words) -> WordBatches:
        """Any words to be scored, each flagged if the train split has it; this rank's share."""
        encoded = self._encode(some)
        flags = torch.from_numpy(self.in_training(some)).to(encoded.stream.device)
        trainer = self._trainer()
        return WordBatches(encoded, flags, trainer.global_rank, trainer.world_size)

    def in_training(self, some: Words) -> NDArray[np.bool_]:
        """(W,) whether each word stands in the train split."""
        return np.isin(some.hashes(), self._train_hashes)

    def is_new(self, some: list[str]) -> list[bool]:
        """Whether each word is absent from the train split."""
        return [not seen for seen in self.in_training(Words.of(some)).tolist()]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing to do: batches are born on the device."""
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Batches seen, and which data they came from."""
        assert self._batches is not None
        return {**self._batches.state_dict(), "digest": self._digest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there. Lightning restores its loops' own record of loaders in some cases only."""
        self._state = state_dict
        self.setup("fit")

    def _encode(self, some: Words) -> EncodedWords:
        return encode(some, Vocabulary(self.alphabet)).to(self._trainer().strategy.root_device)

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None, "batches are made by a Trainer"
        return self.trainer
