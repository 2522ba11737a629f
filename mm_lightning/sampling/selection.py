"""The selection of sampled items: new ones, unique ones, and no more than requested."""

from collections.abc import Callable, Iterator

from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SMALLEST_BATCH, SamplingOptions

_MAX_SAMPLES_PER_ITEM = 100  # samples per requested item before giving up


class Selection:
    """Selection among the sampled items, and the count of items found.

    Args:
        options: The sampling options.
        is_new: Returns, for each of a list of items, whether the item is absent from the training split.
        num_rows: Returns the number of samples in each batch, at least `SMALLEST_BATCH`; called after the first.
    """

    def __init__(
        self,
        options: SamplingOptions,
        is_new: Callable[[list[str]], list[bool]],
        num_rows: Callable[[], int] = lambda: SAMPLE_BATCH_SIZE,
    ) -> None:
        self.options = options
        self.num_found = 0
        self._num_rows = num_rows
        self._num_batches = 0
        self._is_new = is_new
        self._seen: set[str] = set()

    @property
    def max_batches(self) -> int:
        """Most batches that there can be; 1 for a beam search, whose batches are all equal."""
        return 1 if self.options.beam is not None else -(-self._max_samples // SMALLEST_BATCH)

    @property
    def _max_samples(self) -> int:
        return _MAX_SAMPLES_PER_ITEM * self.options.num_samples

    def batches(self) -> Iterator[int]:
        """Yield indices of batches until enough items are found, or sampling gives up."""
        for number in range(self.max_batches):
            if self.num_found == self.options.num_samples:
                return
            if number and number * self._num_rows() >= self._max_samples:
                return
            self._num_batches = number + 1
            yield number

    def choose(self, items: list[str]) -> list[int]:
        """Return the indices of the accepted items, in order, and count these items."""
        chosen = list(range(len(items)))
        if self.options.only_new:
            chosen = [i for i, is_new in enumerate(self._is_new(items)) if is_new]
        if self.options.unique:
            first: dict[str, int] = {}
            for i in chosen:
                first.setdefault(items[i], i)
            chosen = [i for item, i in first.items() if item not in self._seen]
        chosen = chosen[: self.options.num_samples - self.num_found]
        if self.options.unique:
            self._seen.update(items[i] for i in chosen)
        self.num_found += len(chosen)
        return chosen

    def accept(self, items: list[str]) -> list[str]:
        """Return the accepted items, in order, and count them."""
        return [items[i] for i in self.choose(items)]

    def items_of(self, sample_batch: Callable[[int], list[str]]) -> list[str]:
        """Return the accepted items of as many batches as it takes."""
        return [item for batch in self.batches() for item in self.accept(sample_batch(batch))]

    def shortfall(self) -> str | None:
        """Return an error message if fewer items than requested were found, else None."""
        requested = self.options.num_samples
        if self.num_found == requested:
            return None
        if self.options.beam is not None:
            return (
                f"found {self.num_found} of {requested} items with a beam of {self.options.beam}; "
                "ask for fewer, a wider sampling.beam or looser conditions"
            )
        return (
            f"found {self.num_found} of {requested} items in {self._num_batches * self._num_rows()} samples; "
            "ask for fewer, a higher temperature or looser conditions"
        )
