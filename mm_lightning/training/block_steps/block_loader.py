"""Loader that groups the training batches into blocks."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from mm_lightning.data.batches import TrainBatches

Inputs = Tensor | Sequence[Tensor]
Block = tuple[Inputs, Inputs]  # x and y of several batches, each stacked where all batches have one shape


class BlockLoader:
    """Loader that yields the batches of `TrainBatches` in the same order, grouped into blocks.

    Args:
        batches: The batches; their position counts single batches.
        num_ahead: Returns the number of batches of the next block.
    """

    def __init__(self, batches: TrainBatches, num_ahead: Callable[[], int]) -> None:
        self._batches = batches
        self._num_ahead = num_ahead

    def __len__(self) -> int:
        """Number of batches, not of blocks: Lightning counts a batch per step."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Block]:
        for rows in self._batches.orders():  # (batches, batch_size)
            rest = rows
            while len(rest):
                self._batches.before_batch()
                taken, rest = rest[: (count := self._num_ahead())], rest[count:]
                self._batches.position += len(taken)
                yield self._gather(taken)

    def state_dict(self) -> dict[str, int]:
        """Position in single batches."""
        return self._batches.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the position."""
        self._batches.load_state_dict(state)

    def _gather(self, rows: Tensor) -> Block:
        """X and y of batches of examples `rows` (n, batch_size)."""
        examples = self._batches.examples
        if not examples.has_one_shape:
            xs, ys = zip(*map(examples.gather, rows), strict=True)
            return xs, ys
        x, y = examples.gather(rows.flatten())
        return x.view(*rows.shape, -1), y.view(*rows.shape, *y.shape[1:])  # (n, batch_size, C) and (n, batch_size)
