"""The LightningDataModule: the split items of files as batches on the device."""

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.batches import ItemBatches, TrainBatches, batches_per_epoch
from mm_lightning.data.encoding import EncodedItems, Examples, PaddedItems, Windows, encode, tagged
from mm_lightning.data.items import Items
from mm_lightning.data.ranges import Count, Seed, VocabularySize
from mm_lightning.data.splits import SplitItems, SplitName


class ItemsDataModule(SplitItems, pl.LightningDataModule):
    """Items of a text file, one per line, split 80/10/10 by item.

    `SplitItems` describes the other arguments.

    Args:
        batch_size: Examples per optimiser step and device; null for all examples. An example is a window,
            or an item where the network reads whole items.
        block_size: Context in tokens, set by the network; null where the network reads whole items.
        seed: Seed of the training order, set by seed_everything.

    Raises:
        UserError: If a setting contradicts another.
    """

    def __init__(
        self,
        path: str | list[str] = "data/names.txt",
        split: SplitName = "lecture",
        batch_size: Count | None = 32,
        block_size: int | None = None,
        tokens: Literal["characters", "words"] = "characters",
        max_vocab: VocabularySize | None = None,
        alphabet: str | list[str] | None = None,
        seed: Seed = 42,
        item: str | None = None,
        label: str | None = None,
        weight: str | None = None,
        labels: dict[str, int] | None = None,
    ) -> None:
        super().__init__(path, split, tokens, max_vocab, alphabet, item, label, weight, labels)
        pl.LightningDataModule.__init__(self)  # the base before has no call of the next one
        self.save_hyperparameters(ignore=["alphabet", "labels"])  # the model keeps both; two copies could differ
        self.batch_size = batch_size
        self.block_size = block_size
        self.seed = seed
        self._batches: TrainBatches | None = None
        self._state: dict[str, Any] = {}
        self.make_loader: Callable[[TrainBatches], Iterable[Any]] | None = None  # set by a Trainer to group batches

    @cached_property
    def examples(self) -> EncodedItems:
        """Items to train on: those of the train split; a teacher can add more."""
        return encode(self.splits.train, self.vocabulary)

    @property
    def num_examples(self) -> int:
        """Training examples: windows for a window network, items for a sequence network."""
        return len(self.examples.stream) if self.block_size else len(self.examples.lengths)

    def batches_per_epoch(self, world_size: int) -> int:
        """Compute the number of training batches per epoch and device, for `world_size` devices."""
        return batches_per_epoch(self.num_examples, self.batch_size, world_size)

    @property
    def targets_per_step(self) -> int:
        """Mean number of tokens and closing boundaries that a device predicts in one optimiser step."""
        batch_size = min(self.batch_size or self.num_examples, self.num_examples)
        if self.block_size:
            return batch_size
        return int(batch_size * np.average(self.examples.lengths + 1, weights=self.examples.weights))

    @override
    def setup(self, stage: str) -> None:
        """Read, check and split the file, once.

        Raises:
            UserError: If the file cannot be read, has characters outside the alphabet, or differs from the training
                data of the resumed run.
        """
        self.check()
        if stage == "fit" and self._state.get("digest", self.digest) != self.digest:
            raise UserError(
                f"{self.path} (split {self.split}) is not what this checkpoint was trained on; "
                "resume with the same data, or start a new run"
            )

    @override
    def train_dataloader(self) -> Iterable[Any]:
        """Make shuffled batches of the train split, from the position of the run on."""
        examples, is_reload = self._examples(self.examples), self._trainer().train_dataloader is not None
        state = self._batches.state_dict() if self._batches is not None and is_reload else self._state
        self._batches = TrainBatches(examples, self.batch_size, self.seed, 0, *self._share, self._num_repeated())
        if state:
            self._batches.load_state_dict(state)
        return self._batches if self.make_loader is None else self.make_loader(self._batches)

    def _num_repeated(self) -> int | None:
        """Number of batches to overfit on, `overfit_batches` or their share; None for all batches."""
        trainer = self._trainer()
        limit: int | float = trainer.overfit_batches  # type: ignore[attr-defined] # set by Lightning
        num_batches = self.batches_per_epoch(trainer.world_size)
        return (min(limit, num_batches) if isinstance(limit, int) else int(limit * num_batches)) or None

    def dev_examples(self, count: int) -> tuple[Tensor, Tensor]:
        """Gather the first examples of the dev split, or of the train split where nothing is held out, as x and y."""
        items = self.splits.dev if len(self.splits.dev) else self.splits.train
        examples = self._examples(encode(items, self.vocabulary))
        return examples.gather(torch.arange(min(count, len(examples)), device=self._device))

    def _examples(self, encoded: EncodedItems) -> Examples:
        encoded = encoded.to(self._device)
        return Windows(encoded, self.block_size) if self.block_size else PaddedItems(encoded)

    @override
    def val_dataloader(self) -> ItemBatches | list[Any]:
        """Make batches of the items of the dev split; none in a fit where nothing is held out."""
        if not len(self.splits.dev) and self._trainer().state.fn == TrainerFn.FITTING:
            return []
        return self._held_out_batches(self.splits.dev, self._trainer().limit_val_batches)

    @override
    def test_dataloader(self) -> ItemBatches:
        """Make batches of the items of the test split."""
        return self._held_out_batches(self.splits.test, self._trainer().limit_test_batches)

    def _held_out_batches(self, items: Items, limit: int | float) -> ItemBatches:
        if not len(items):
            raise UserError(
                f"data.split is {self.split}, which holds nothing out of {self.path}; "
                "give other data with --data.path and --data.split unique"
            )
        is_whole = isinstance(limit, float) and limit == 1  # a part, cut from the shuffled items, has all lengths
        return self.item_batches(items, is_sorted=is_whole)

    def item_batches(self, items: Items, is_sorted: bool = True) -> ItemBatches:
        """Make batches of this rank's share of the items, sorted by length or not, with the tags of `tagged`."""
        encoded = encode(items, self.vocabulary).to(self._device)
        tags = tagged(items, self.is_in_training(items)).to(encoded.stream.device)
        return ItemBatches(encoded, tags, *self._share, is_sorted)

    @override
    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        return batch  # already on the device

    def state_dict(self) -> dict[str, Any]:
        """Batches seen, and which data they came from."""
        assert self._batches is not None
        return {**self._batches.state_dict(), "digest": self.digest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there. Lightning restores its loops' own record of loaders in some cases only."""
        self._state = state_dict
        if self.trainer is None or self.trainer.state.fn not in (TrainerFn.VALIDATING, TrainerFn.TESTING):
            self.setup("fit")
        elif (note := self.note_on_other_data(state_dict["digest"])) is not None:
            rank_zero_info(note)

    def note_on_other_data(self, digest: str) -> str | None:
        """A note where the data are not those of a digest, which is that of a checkpoint to measure."""
        if self.digest == digest:
            return None
        return (
            f"{self.path} (split {self.split}) is not what this checkpoint was trained on; unseen are here the items "
            "that are not in the train split of this file, and some of them may have been trained on"
        )

    @property
    def _device(self) -> torch.device:
        return self._trainer().strategy.root_device

    @property
    def _share(self) -> tuple[int, int]:
        """Rank of this process, and number of processes."""
        return self._trainer().global_rank, self._trainer().world_size

    def _trainer(self) -> pl.Trainer:
        if self.trainer is None:
            raise RuntimeError("the datamodule has no Trainer, which knows device and rank; give it to Trainer.fit")
        return self.trainer
