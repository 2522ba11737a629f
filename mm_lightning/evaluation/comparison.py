"""Comparison of generated items with the items of the dev split, by all measures of quality."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.items import Items
from mm_lightning.data.splits import Splits
from mm_lightning.evaluation.nearest import max_items, nearest_distances, nearest_indices
from mm_lightning.evaluation.quality import TrainingReference, unique_share
from mm_lightning.evaluation.text_table import aligned

Row = dict[str, float | None]  # None where a measure is undefined


class Neighbour(NamedTuple):
    """A new item, its nearest training item, and the number of tokens to insert, delete or replace."""

    item: str
    nearest: str
    edits: int


@dataclass(frozen=True)
class Comparison:
    """Measures of samples and of dev items.

    Args:
        rows: Measures by name: of all samples, of the first samples where dev has fewer items, and of dev.
        neighbours: The first new samples, each with its nearest training item.
    """

    rows: dict[str, Row]
    neighbours: list[Neighbour]


def _edits(reference: TrainingReference, items: Items) -> NDArray[np.int64]:
    """Compute the edit distances from new items to their nearest training items, from as many as time allows."""
    new = reference.new_items(items)[: max_items(reference.distinct_tokens)]
    return nearest_distances(reference.tokens(new), reference.distinct_tokens)


def _measure(reference: TrainingReference, splits: Splits, items: Items, valid: float) -> Row:
    """Compute a row of all measures; a new measure is an entry here and a function in a file of its own."""
    quality = asdict(reference.quality(items, valid))
    edits = _edits(reference, items)
    return {
        "words": len(items),
        "valid": quality.pop("valid"),
        "unique": quality.pop("unique"),
        "unique@1k": unique_share(items, 1_000),
        "unique@10k": unique_share(items, 10_000),
        "new": quality.pop("new"),
        "dev_hits": reference.hit_rate(items, splits.dev),
        "test_hits": reference.hit_rate(items, splits.test),
        **quality,
        "edits": float(np.mean(edits)) if len(edits) else None,
        "edits_of": len(edits),
    }


def _neighbours(reference: TrainingReference, items: Items, count: int) -> list[Neighbour]:
    """Find the nearest training items of the first new items."""
    new = reference.new_items(items)[:count]
    tokens = reference.tokens(new)
    nearest = reference.distinct.take(nearest_indices(tokens, reference.distinct_tokens))
    edits = nearest_distances(tokens, reference.distinct_tokens).tolist()
    return [Neighbour(*entry) for entry in zip(new, nearest, edits, strict=True)]


def compare(
    reference: TrainingReference, splits: Splits, samples: Items, valid: float, num_neighbours: int
) -> Comparison:
    """Measure samples, and items of dev as if they were samples.

    The number of items influences the unique share, hits and similarities. Where dev has fewer items, as many of the
    first samples get a row of their own; where dev has more, only its first items count.

    Args:
        reference: The train split.
        splits: All splits of the same data.
        samples: Valid samples.
        valid: Their share of all samples.
        num_neighbours: Number of new samples to return with their nearest training items.
    """
    dev = splits.dev[: len(samples)]
    rows = {"model": _measure(reference, splits, samples, valid)}
    if 0 < len(dev) < len(samples):
        first = samples[: len(dev)]
        rows[f"model, first {len(dev):,}"] = _measure(reference, splits, first, valid)
    valid_dev = reference.valid_items(dev)
    if len(valid_dev):
        row = _measure(reference, splits, valid_dev, len(valid_dev) / len(dev))
        rows["dev"] = {**row, "dev_hits": None}  # dev hits itself
    return Comparison(rows, _neighbours(reference, samples, num_neighbours))


def formatted(column: str, value: float | None) -> str:
    """Format a measure, by its name."""
    if value is None:
        return "-"
    if column in ("words", "edits_of"):
        return f"{value:,}"
    if column in ("lengths", "first", "last", "bigrams"):
        return f"{value:.3f}"
    return f"{value:.2f}" if column == "edits" else f"{value:.1%}"


def as_text(comparison: Comparison) -> str:
    """Format the measures as a table, and below it new items beside their nearest training items."""
    columns = next(iter(comparison.rows.values()))
    rows = [[name, *(formatted(*cell) for cell in row.items())] for name, row in comparison.rows.items()]
    lines = aligned([["", *columns], *rows], num_left=1)
    if comparison.neighbours:
        neighbours = [[item, nearest, str(edits)] for item, nearest, edits in comparison.neighbours]
        lines += ["", *aligned([["new word", "nearest in training", "edits"], *neighbours], num_left=2)]
    return "\n".join(lines)
