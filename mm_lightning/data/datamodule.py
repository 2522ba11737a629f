"""The LightningDataModule: a file of words, its splits, and batches of them on the device."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.batches import ItemBatches, TrainBatches, batches_per_epoch
from mm_lightning.data.encoding import EncodedItems, Examples, PaddedItems, Windows, encode
from mm_lightning.data.items import Items, isin_sorted, read_items
from mm_lightning.data.splits import SplitName, Splits, split_items
from mm_lightning.data.vocabulary import UNKNOWN, Vocabulary, WordVocabulary, make_vocabulary
from mm_lightning.files import find_shipped


class ItemsDataModule(pl.LightningDataModule):
    """Items of a text file, one a line, split 80/10/10 by word.

    Args:
        path: The file, UTF-8. data/names.txt and data/sentences.txt come with the package.
        split: lecture keeps repeated words, as the lecture does; unique removes them, so that no word of dev or test
            occurs in training.
        batch_size: Examples per optimiser step and device: windows, or words for a network that reads whole words;
            null for all examples at once.
        block_size: Context in tokens, from the network; null for networks that read whole words.
        tokens: What a model reads and writes one at a time. characters is for words; words is for sentences, one a
            line, and takes what white space separates, however wide.
        max_vocab: With tokens words, the most ids: the boundary, the unknown word <unk>, and the most frequent words of
            the train split; null takes all of these, and then no <unk> occurs in training.
        alphabet: The characters, or <unk> and the words; null takes them from the data. A checkpoint brings its own.
        seed: Of the order of training, from seed_everything.

    Raises:
        UserError: If settings make no sense, alone or together.
    """

    def __init__(
        self,
        path: str = "data/names.txt",
        split: SplitName = "lecture",
        batch_size: int | None = 32,
        block_size: int | None = None,
        tokens: Literal["characters", "words"] = "characters",
        max_vocab: int | None = None,
        alphabet: str | list[str] | None = None,
        seed: int = 42,
    ) -> None:
        super().__init__()
        if batch_size is not None and batch_size < 1:
            raise UserError(f"data.batch_size is {batch_size}; it must be at least 1")
        _check_vocabulary(tokens, max_vocab, alphabet)
        self.save_hyperparameters(ignore=["alphabet"])  # the module keeps it; two owners could disagree
        self.path = path
        self.split: SplitName = split
        self.batch_size = batch_size
        self.block_size = block_size
        self.tokens = tokens
        self.max_vocab = max_vocab
        self.seed = seed
        self._alphabet = alphabet
        self._batches: TrainBatches | None = None
        self._state: dict[str, Any] = {}
        self.make_loader: Callable[[TrainBatches], Iterable[Any]] | None = None  # set by a Trainer to group batches

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """That of the alphabet given, else the characters of the file, or the words of the train split."""
        if self._alphabet is not None:
            return make_vocabulary(self._alphabet)
        if self.tokens == "words":
            return WordVocabulary.of(self.splits.train, self.max_vocab)
        return Vocabulary("".join(sorted(set().union(*(part.alphabet() for part in self.splits.all)))))

    @property
    def alphabet(self) -> str | list[str]:
        """What the vocabulary is made of, for the model to keep."""
        return self.vocabulary.alphabet

    @cached_property
    def splits(self) -> Splits:
        """Train, dev and test words; sentences are the same if they differ in white space only."""
        lines = read_items(find_shipped(self.path))
        return split_items(lines.single_spaced() if self.tokens == "words" else lines, self.split, self.path)

    @cached_property
    def _train(self) -> EncodedItems:
        return encode(self.splits.train, self.vocabulary)

    @property
    def train_lengths(self) -> Tensor:
        """(W,) tokens of each training word."""
        return self._train.lengths

    @property
    def num_examples(self) -> int:
        """Number of training examples: windows, or items for a sequence network."""
        return len(self._train.stream) if self.block_size else len(self._train.lengths)

    def batches_per_epoch(self, world_size: int) -> int:
        """Number of training batches of an epoch on each of `world_size` devices."""
        return batches_per_epoch(self.num_examples, self.batch_size, world_size)

    @property
    def targets_per_step(self) -> int:
        """Tokens and closing boundaries that a device predicts in one step, in the mean."""
        examples = self.num_examples
        return min(self.batch_size or examples, examples) * len(self._train.stream) // examples

    @cached_property
    def _train_hashes(self) -> tuple[NDArray[np.uint64], str]:
        """Hashes of the training words, sorted; a number that other words, or another order of them, would change."""
        hashes = self.splits.train.hashes()
        digest = int(hashes.dot(np.arange(1, 2 * len(hashes), 2, dtype=np.uint64)))
        hashes.sort()
        return hashes, f"{digest:016x}"

    @property
    def train_hashes(self) -> NDArray[np.uint64]:
        """(W,) hashes of the training items, sorted."""
        return self._train_hashes[0]

    @property
    def digest(self) -> str:
        """A number that other training words, or another order of them, would change."""
        return self._train_hashes[1]

    def setup(self, stage: str) -> None:
        """Read, check and split the file, once.

        Raises:
            UserError: If the file is unfit, has characters outside the alphabet, or is not the one that the run
                being resumed was trained on.
        """
        refused = sorted(set().union(*map(self.vocabulary.refused, self.splits.all)))
        if refused:
            raise UserError(
                f"{self.path} has characters that the model does not know: {' '.join(map(repr, refused[:20]))}; "
                "use data in its alphabet, or train a new model"
            )
        if stage == "fit" and self._state.get("digest", self.digest) != self.digest:
            raise UserError(
                f"{self.path} (split {self.split}) is not what this checkpoint was trained on; "
                "resume with the same data, or start a new run"
            )

    def train_dataloader(self) -> Iterable[Any]:
        """Shuffled batches of the train split, from where the run stopped."""
        examples = self._examples(self._train)
        position = self._state.get("position", 0)
        trainer = self._trainer()
        self._batches = TrainBatches(
            examples, self.batch_size, self.seed, position, trainer.global_rank, trainer.world_size
        )
        return self._batches if self.make_loader is None else self.make_loader(self._batches)

    def dev_examples(self, count: int) -> tuple[Tensor, Tensor]:
        """The first of the dev split's examples, at most so many, as x and y of a training batch."""
        examples = self._examples(encode(self.splits.dev, self.vocabulary))
        return examples.gather(torch.arange(min(count, len(examples)), device=self._device))

    def _examples(self, encoded: EncodedItems) -> Examples:
        encoded = encoded.to(self._device)
        return Windows(encoded, self.block_size) if self.block_size else PaddedItems(encoded)

    def val_dataloader(self) -> ItemBatches:
        """Whole words of the dev split."""
        return self.item_batches(self.splits.dev)

    def test_dataloader(self) -> ItemBatches:
        """Whole words of the test split."""
        return self.item_batches(self.splits.test)

    def item_batches(self, some: Items) -> ItemBatches:
        """Any words to be scored, each flagged if the train split has it; this rank's share."""
        encoded = encode(some, self.vocabulary).to(self._device)
        flags = torch.from_numpy(self.in_training(some)).to(encoded.stream.device)
        trainer = self._trainer()
        return ItemBatches(encoded, flags, trainer.global_rank, trainer.world_size)

    def in_training(self, some: Items) -> NDArray[np.bool_]:
        """(W,) whether each word stands in the train split."""
        return isin_sorted(some.hashes(), self.train_hashes)

    def is_new(self, some: list[str]) -> list[bool]:
        """Whether each word is absent from the train split."""
        return [not seen for seen in self.in_training(Items.of(some)).tolist()]

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Nothing to do: batches are born on the device."""
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Batches seen, and which data they came from."""
        assert self._batches is not None
        return {**self._batches.state_dict(), "digest": self.digest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there. Lightning restores its loops' own record of loaders in some cases only."""
        self._state = state_dict
        self.setup("fit")

    @property
    def _device(self) -> torch.device:
        return self._trainer().strategy.root_device

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None, "batches are made by a Trainer"
        return self.trainer


def _check_vocabulary(tokens: str, max_vocab: int | None, alphabet: str | list[str] | None) -> None:
    """Refuse settings that would be ignored."""
    if max_vocab is not None and tokens != "words":
        raise UserError(
            f"data.max_vocab is {max_vocab}, but characters are never left out; set --data.tokens words or leave it out"
        )
    if max_vocab is not None and max_vocab < 3:
        raise UserError(f"data.max_vocab is {max_vocab}; it must be at least 3: the boundary, {UNKNOWN} and one word")
    if alphabet is None:
        return
    if isinstance(alphabet, list) != (tokens == "words"):
        kind = "a list of words" if isinstance(alphabet, list) else "a string of characters"
        raise UserError(f"data.alphabet is {kind}, but data.tokens is {tokens}; change one of them")
    if max_vocab is not None and len(alphabet) + 1 > max_vocab:
        raise UserError(
            f"data.alphabet makes {len(alphabet) + 1} ids, but data.max_vocab is {max_vocab}; leave one of them out"
        )
