"""Batches that a stopped run finds again.

Lightning re-creates a `DataLoader`'s shuffle from epoch 0 when it resumes, and collates item by item. Here a batch is
a pure function of (seed, position, rank), gathered from tensors already on the device, many batches at a time.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.encoding import EncodedItems, Examples, PaddedItems

Batch = tuple[Tensor, Tensor]
_GATHERED_EXAMPLES = 8192  # gathered together where all batches have one shape
_SCORED_POSITIONS = 1 << 14  # padded positions scored at once: bounds the memory of a batch with long words
_SCORED_LOGITS = 1 << 24  # and of their logits, 64 MiB in float32, where there are many ids


def batches_per_epoch(num_examples: int, batch_size: int | None, world_size: int) -> int:
    """Number of batches of an epoch on each rank; `batch_size` None for all examples at once."""
    per_rank = max(1, num_examples // world_size)
    return max(1, per_rank // min(batch_size or num_examples, per_rank))


class TrainBatches:
    """Shuffled batches, one pass over the examples an epoch, all of one size.

    The examples that do not fill a last batch wait for another epoch, whose shuffle differs. With fewer examples than
    a batch asks for, a batch is all of them.

    Args:
        examples: What to draw from.
        batch_size: Examples per batch and rank; None for all of them.
        seed: Of the shuffles.
        position: Batches already seen by this run.
        rank: Which share of each global batch is ours.
        world_size: Number of shares; n ranks with batches of B see what one sees with batches of nB.

    Raises:
        UserError: If there are fewer examples than shares.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int | None,
        seed: int,
        position: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(examples) < world_size:
            raise UserError(f"{len(examples)} training examples cannot be shared by {world_size} devices; use fewer")
        self.examples = examples
        self.batch_size = min(batch_size or len(examples), max(1, len(examples) // world_size))
        self.seed = seed
        self.position = position
        self.rank = rank
        self.world_size = world_size

    def __len__(self) -> int:
        """Batches per epoch and rank."""
        return batches_per_epoch(len(self.examples), self.batch_size, self.world_size)

    def __iter__(self) -> Iterator[Batch]:
        for order in self.orders():
            yield from self._gather(order)

    def orders(self) -> Iterator[Tensor]:
        """The batches of one epoch's length from the position on, as indices of examples (batches, batch_size).

        They come in two parts where they reach into the next epoch's shuffle. The caller advances the position.
        """
        end = self.position + len(self)
        while self.position < end:
            epoch, first = divmod(self.position, len(self))
            order = self._order(epoch).view(len(self), self.world_size, self.batch_size)[:, self.rank]
            yield order[first : first + end - self.position]

    def _gather(self, order: Tensor) -> Iterator[Batch]:
        """Batches of examples `order` (batches, batch_size)."""
        num_batches = _GATHERED_EXAMPLES // self.batch_size if self.examples.has_one_shape else 1
        for rows in torch.split(order, max(1, num_batches)):
            x, y = self.examples.gather(rows.flatten())
            for batch in zip(torch.split(x, self.batch_size), torch.split(y, self.batch_size), strict=True):
                self.position += 1
                yield batch

    def _order(self, epoch: int) -> Tensor:
        """The epoch's examples, as many as fill its batches."""
        generator = torch.Generator()
        generator.manual_seed(int(np.random.SeedSequence([self.seed, epoch]).generate_state(1, np.uint64)[0] >> 1))
        order = torch.randperm(len(self.examples), generator=generator, dtype=torch.int32)
        used = len(self) * self.batch_size * self.world_size
        return order[:used].to(self.examples.device)

    def state_dict(self) -> dict[str, int]:
        """How far the run has come."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from there."""
        self.position = state["position"]


class ItemBatches:
    """Whole words, each once, long ones apart from short ones so that little is padded.

    Args:
        words: What to score.
        tags: (W,) one number or flag per word, handed on with it.
        rank: Which share of the words is ours.
        world_size: Number of shares.
    """

    def __init__(self, words: EncodedItems, tags: Tensor, rank: int = 0, world_size: int = 1) -> None:
        self.examples = PaddedItems(words)
        self.tags = tags
        order = words.lengths.argsort(stable=True)[rank::world_size]
        widths = (words.lengths[order] + 1).tolist()
        limit = min(_SCORED_POSITIONS, _SCORED_LOGITS // words.vocab_size)
        cuts = [0]
        for i, width in enumerate(widths):
            if (i + 1 - cuts[-1]) * width > limit and i > cuts[-1]:
                cuts.append(i)
        self._rows = [order[a:b] for a, b in zip(cuts, [*cuts[1:], len(order)], strict=True) if b > a]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """X (B, T) and y (B, T) as PaddedItems has them, and tags (B,)."""
        for rows in self._rows:
            yield *self.examples.gather(rows), self.tags[rows]
