"""Batches for training and for scoring.

A training batch is a pure function of (seed, position, rank), so a resumed run continues mid-epoch with the same
batches. A `DataLoader` is not used: Lightning restarts its shuffle from epoch 0 on resume, and the loader collates
example by example. Here many batches are gathered at once from tensors already on the device.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.encoding import EncodedItems, Examples, PaddedItems
from mm_lightning.data.shuffle import EpochShuffles

Batch = tuple[Tensor, Tensor]
GLOBAL_BATCH = "global_batch"  # key in states: examples of a batch on all ranks together
_GATHERED_EXAMPLES = 8192  # per call of `gather`, where all examples have one shape
_MAX_COUNTED_EXAMPLES = 1 << 20  # gathered at once
_MAX_SCORED_POSITIONS = 1 << 14  # per batch, padding included: bounds the memory where items are long
_MAX_SCORED_LOGITS = 1 << 24  # per batch, 64 MiB in float32: bounds the memory where ids are many


def examples_per_batch(num_examples: int, batch_size: int | None, world_size: int) -> int:
    """Compute the examples of a batch on one rank; `batch_size` None stands for all examples."""
    return min(batch_size or num_examples, max(1, num_examples // world_size))


def batches_per_epoch(num_examples: int, batch_size: int | None, world_size: int) -> int:
    """Compute the number of batches per epoch and rank; `batch_size` None stands for all examples."""
    return max(1, num_examples // (examples_per_batch(num_examples, batch_size, world_size) * world_size))


def same_place(done: int, old: int, new: int, num_batches: int) -> int:
    """Compute the batches done of an epoch, at the same place in its shuffle, for batches of another size.

    The place is rounded down to a whole batch, so that no example is left out.

    Args:
        done: Batches done of the epoch.
        old: Examples of each of them, on all ranks together.
        new: Examples of a batch from now on, on all ranks together.
        num_batches: Batches of an epoch from now on.
    """
    return min(done * old // new, num_batches - 1) if old != new else done


class TrainBatches:
    """Shuffled training batches of equal size.

    An epoch leaves out the examples that do not fill a last batch; the next epoch has another shuffle. With fewer
    examples than `batch_size`, a batch has all of them. With weights, an epoch has as many examples as without, and
    the expected number of times that it has an example is in proportion to the weight.

    Args:
        examples: Training examples.
        batch_size: Examples per batch and rank; None for all examples.
        seed: Seed of the shuffles.
        position: Batches that the run has already used, over all epochs.
        rank: Index of this process's share of each global batch, in [0, world_size).
        world_size: Number of shares; n ranks with batches of B together equal one rank with batches of n B.
        num_repeated: First batches of the first epoch, which are repeated in place of all others; None for no repeats.

    Raises:
        UserError: If examples are fewer than shares.
    """

    def __init__(
        self,
        examples: Examples,
        batch_size: int | None,
        seed: int,
        position: int = 0,
        rank: int = 0,
        world_size: int = 1,
        num_repeated: int | None = None,
    ) -> None:
        if len(examples) < world_size:
            raise UserError(f"{len(examples)} training examples cannot be shared by {world_size} devices; use fewer")
        self.examples = examples
        self.batch_size = examples_per_batch(len(examples), batch_size, world_size)
        self.seed = seed
        self.position = position
        self.rank = rank
        self.world_size = world_size
        self._global_batch = self.batch_size * world_size  # examples of a batch on all ranks together
        self._num_repeated = num_repeated
        self._shuffles = EpochShuffles(len(examples), examples.weights, seed)
        self.before_batch: Callable[[], None] = lambda: None  # called while all batches so far are done

    def __len__(self) -> int:
        """Number of batches per epoch and rank."""
        return batches_per_epoch(len(self.examples), self.batch_size, self.world_size)

    def __iter__(self) -> Iterator[Batch]:
        """Yield one epoch's number of batches from the position on, continued in the next epoch's shuffle."""
        for order in self.orders():
            yield from self._gather(order)

    def orders(self) -> Iterator[Tensor]:
        """Yield the batches of one epoch's length from the position on, as example numbers (batches, batch_size).

        The batches come in parts: they may continue in the next epoch's shuffle, and a long order is made part by part.
        The caller advances the position.
        """
        end, size, period = self.position + len(self), self._global_batch, self._num_repeated or len(self)
        most = max(1, self._shuffles.most_at_once // size)
        while self.position < end:
            epoch, first = divmod(self.position, period)
            last = min(period, first + end - self.position, first + most)
            rows = self._shuffles.order(0 if self._num_repeated else epoch, first * size, last * size)
            rows = rows.to(self.examples.device)
            yield rows.view(-1, self.world_size, self.batch_size)[:, self.rank]

    def _gather(self, order: Tensor) -> Iterator[Batch]:
        """Yield the batches of the examples `order` (batches, batch_size), several gathered at once."""
        num_batches = _GATHERED_EXAMPLES // self.batch_size if self.examples.has_one_shape else 1
        for rows in torch.split(order, max(1, num_batches)):
            x, y = self.examples.gather(rows.flatten())
            for batch in zip(torch.split(x, self.batch_size), torch.split(y, self.batch_size), strict=True):
                self.before_batch()
                self.position += 1
                yield batch

    def state_dict(self) -> dict[str, int]:
        """Return the number of batches used, and their size on all ranks together."""
        return {"position": self.position, GLOBAL_BATCH: self._global_batch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue behind the batches already used, which may be of another size; older states have no size."""
        old = state.get(GLOBAL_BATCH) or self._global_batch
        epoch, done = divmod(state["position"], max(1, len(self.examples) // old))
        self.position = epoch * len(self) + same_place(done, old, self._global_batch, len(self))


CountedPart = tuple[Tensor, Tensor, Tensor | None]


def every_example(examples: Examples) -> Iterator[CountedPart]:
    """Yield x, y and weights (n,), or None for weights of 1, of all examples in their order, part by part.

    All at once, the windows of ten million lines would take several gigabytes.
    """
    for rows in torch.split(torch.arange(len(examples), device=examples.device), _MAX_COUNTED_EXAMPLES):
        yield *examples.gather(rows), None if examples.weights is None else examples.weights[rows]


class EveryExample:
    """One batch that has every example once, beside its weight: a counted network adds weights to its counts.

    Args:
        batches: The training batches, of all examples each.
    """

    def __init__(self, batches: TrainBatches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[Iterator[CountedPart]]:
        """Yield the parts of the batch."""
        self._batches.before_batch()
        self._batches.position += 1
        yield every_example(self._batches.examples)

    def state_dict(self) -> dict[str, int]:
        """Number of batches used."""
        return self._batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the number; Lightning saves no loader without this function."""
        self._batches.load_state_dict(state)


def _cuts(widths: list[int], limit: int) -> list[int]:
    """Find where batches begin, so that no batch of two items or more has more positions than the limit."""
    cuts, widest = [0], 0
    for i, width in enumerate(widths):
        widest = max(widest, width)
        if (i + 1 - cuts[-1]) * widest > limit and i > cuts[-1]:
            cuts.append(i)
            widest = width
    return cuts


class ItemBatches:
    """Batches of whole items for scoring, each item once.

    All processes have equally many batches: DDP sends the buffers of a network from process to process with each batch.

    Args:
        items: Items to score.
        tags: (num_items, ...) values per item, returned with the item's batch.
        rank: Index of this process's share of the items, in [0, world_size).
        world_size: Number of shares.
        is_sorted: Whether items are sorted by length, which saves padding. The first batches then have the shortest
            items, so their mean loss is not that of all items.

    Raises:
        UserError: If items are fewer than shares.
    """

    def __init__(
        self, items: EncodedItems, tags: Tensor, rank: int = 0, world_size: int = 1, is_sorted: bool = True
    ) -> None:
        if len(items.lengths) < world_size > 1:
            raise UserError(f"{len(items.lengths)} items cannot be shared by {world_size} devices; use fewer")
        self.examples = PaddedItems(items)
        self.tags = tags
        lengths = items.lengths
        order = lengths.argsort(stable=True) if is_sorted else torch.arange(len(lengths), device=lengths.device)
        widths = (lengths[order] + 1).cpu().numpy()
        places = np.arange(0, len(order) - world_size + 1, world_size)  # all processes have an item for each
        limit = min(_MAX_SCORED_POSITIONS, _MAX_SCORED_LOGITS // items.vocab_size)
        cuts = _cuts(np.maximum.reduceat(widths, places).tolist(), limit)  # items behind the last place belong to it
        order = order[rank::world_size]
        ends = [*cuts[1:], len(order)]
        self._rows = [order[start:end] for start, end in zip(cuts, ends, strict=True) if end > start]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield x (B, T), y (B, T) as `PaddedItems` gathers them, and tags (B, ...)."""
        for rows in self._rows:
            yield *self.examples.gather(rows), self.tags[rows]
