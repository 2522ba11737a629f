"""Which draws count, and when there are enough."""

from collections.abc import Callable, Iterator

from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions

_DRAWS_PER_SAMPLE = 100  # how often to try, per word asked for, before giving up


class Selection:
    """Which draws count, and when there are enough.

    Args:
        options: What is wanted.
        is_new: Tells for each of some words whether the training split lacks it.
        rows: Items drawn in a block.
    """

    def __init__(
        self, options: SamplingOptions, is_new: Callable[[list[str]], list[bool]], rows: int = SAMPLE_BATCH_SIZE
    ) -> None:
        self.options = options
        self.rows = rows
        self.num_found = 0
        self._is_new = is_new
        self._seen: set[str] = set()

    @property
    def max_batches(self) -> int:
        """Blocks after which drawing stops; a beam search is one block."""
        if self.options.beam is not None:
            return 1
        return -(-_DRAWS_PER_SAMPLE * self.options.num_samples // self.rows)

    def batches(self) -> Iterator[int]:
        """Numbers of the blocks to draw, until there are enough words or no more tries."""
        return (i for i in range(self.max_batches) if self.num_found < self.options.num_samples)

    def accept(self, drawn: list[str]) -> list[str]:
        """Those of the drawn words that count, in order."""
        if self.options.only_new:
            drawn = [word for word, new in zip(drawn, self._is_new(drawn), strict=True) if new]
        if self.options.unique:
            drawn = [word for word in dict.fromkeys(drawn) if word not in self._seen]
        drawn = drawn[: self.options.num_samples - self.num_found]
        if self.options.unique:
            self._seen.update(drawn)
        self.num_found += len(drawn)
        return drawn

    def shortfall(self) -> str | None:
        """One line that says what is missing, if anything is."""
        wanted = self.options.num_samples
        if self.num_found == wanted:
            return None
        if self.options.beam is not None:
            return (
                f"found {self.num_found} of {wanted} words with a beam of {self.options.beam}; "
                "ask for fewer, a wider sampling.beam or looser conditions"
            )
        return (
            f"found {self.num_found} of {wanted} words in {self.max_batches * self.rows} draws; "
            "ask for fewer, a higher temperature or looser conditions"
        )
