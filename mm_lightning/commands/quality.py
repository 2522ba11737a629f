"""Drawn words and those of dev, measured alike and set in one table."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.splits import Splits
from mm_lightning.evaluation.quality import Distances, TrainingItems, share_unique
from mm_lightning.files import check_writable, write_atomically
from mm_lightning.sampling import Sampler, SamplingOptions, Selection
from mm_lightning.training import checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer

_EXAMPLES = 8  # new words that are shown beside the training word nearest to them

Row = dict[str, float | None]  # None where a measure is not defined


@dataclass(frozen=True)
class QualityTable:
    """What was measured.

    Args:
        rows: Measures of the model's words, of as many of its first as dev has words, and of dev's.
        distances: From the model's new words to the training words.
    """

    rows: dict[str, Row]
    distances: Distances

    def __str__(self) -> str:
        """The table, and below it some new words."""
        head = ["", *next(iter(self.rows.values()))]
        lines = [head, *([name, *(_shown(*cell) for cell in row.items())] for name, row in self.rows.items())]
        examples = [[word, near, str(edits)] for word, near, edits in self.distances.first(_EXAMPLES)]
        below = ["", *_aligned([["new word", "nearest in training", "edits"], *examples], left=2)] if examples else []
        return "\n".join([*_aligned(lines, left=1), *below])

    def json(self, settings: dict[str, Any]) -> str:
        """The same figures, and with what settings they were made."""
        rows = [{"of": name, **row} for name, row in self.rows.items()]
        names = ("word", "nearest", "edits")
        examples = [dict(zip(names, example, strict=True)) for example in self.distances.first(_EXAMPLES)]
        return json.dumps({**settings, "rows": rows, "nearest": examples}, ensure_ascii=False, indent=1) + "\n"


def check(datamodule: ItemsDataModule, ckpt_path: str, output: Path | None) -> None:
    """Refuse what would come out wrong or nowhere.

    Raises:
        UserError: If the data are missing, unfit or not what the checkpoint was trained on, or the file to write is
            none of ours or cannot be written.
    """
    if output is not None:
        check_writable(output, "--output", ".json")
    try:
        datamodule.setup("test")
    except UserError as error:
        raise UserError(f"quality needs the training words (--data.path): {error}") from None
    if checkpoint.digest(Path(ckpt_path)) not in (None, datamodule.digest):
        raise UserError(
            f"{datamodule.path} (split {datamodule.split}) is not what {ckpt_path} was trained on, so what is new "
            "cannot be told; give its own data with --data.path and --data.split, or leave these out"
        )


def sample_items(model: LanguageModel, datamodule: ItemsDataModule, options: SamplingOptions) -> tuple[Items, float]:
    """Draw so many words no longer than the longest training word.

    Returns:
        The words, and their share of all that were begun in the blocks drawn.

    Raises:
        UserError: If so many could not be had.
    """
    options = replace(options, max_length=int(datamodule.train_lengths.max()))
    sampler, selection = Sampler(model.network, model.vocabulary, options), Selection(options, datamodule.is_new)
    drawn: list[str] = []
    num_begun = 0
    for block in selection.batches():
        words = sampler.sample_batch(block)
        selection.accept(words)
        drawn += words
        num_begun += sampler.rows
    if shortfall := selection.shortfall():
        raise UserError(f"{shortfall} (a word counts that ends within {options.max_length} tokens)")
    return Items.from_strings(drawn[: options.num_samples]), len(drawn) / num_begun


def tabulate(datamodule: ItemsDataModule, drawn: Items, valid: float) -> QualityTable:
    """Measure the words drawn, and words of dev as if they had been.

    Shares of different words and of hits, and likenesses, depend on how many words there are. So where dev has fewer
    words than were drawn, as many of the first drawn have a row of their own; where it has more, its first count.
    """
    dev = datamodule.splits.dev[: len(drawn)]
    training = TrainingItems.of(datamodule)
    ended = training.in_time(dev)
    row, distances = _measure(training, datamodule.splits, drawn, valid)
    rows = {"model": row}
    if len(dev) < len(drawn):
        rows[f"model, first {len(dev):,}"], _ = _measure(training, datamodule.splits, drawn[: len(dev)], valid)
    if len(ended):
        rows["dev"], _ = _measure(training, datamodule.splits, ended, len(ended) / len(dev))
        rows["dev"]["dev_hits"] = None  # it would hit itself
    return QualityTable(rows, distances)


def _measure(training: TrainingItems, splits: Splits, words: Items, valid: float) -> tuple[Row, Distances]:
    measured = asdict(training.quality(words, valid))
    shares = {name: measured.pop(name) for name in ("valid", "unique", "new")}
    distances = training.distances(words)
    row: Row = {
        "words": len(words),
        "valid": shares["valid"],
        "unique": shares["unique"],
        "unique@1k": share_unique(words, 1_000),
        "unique@10k": share_unique(words, 10_000),
        "new": shares["new"],
        "dev_hits": training.hits(words, splits.dev),
        "test_hits": training.hits(words, splits.test),
        **measured,
        "edits": float(np.mean(distances.edits)) if len(distances.words) else None,
        "edits_of": len(distances.words),
    }
    return row, distances


def _shown(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    if name in ("words", "edits_of"):
        return f"{value:,}"
    if name in ("lengths", "first", "last", "bigrams"):
        return f"{value:.3f}"
    return f"{value:.2f}" if name == "edits" else f"{value:.1%}"


def _aligned(lines: list[list[str]], left: int) -> list[str]:
    """Lines of cells under each other, the first `left` columns to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    sides = ["<"] * left + [">"] * (len(widths) - left)
    return ["  ".join(f"{c:{s}{w}}" for c, s, w in zip(line, sides, widths, strict=True)).rstrip() for line in lines]


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str,
    num_samples: int = 10_000,
    seed: int = 42,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
    output: Path | None = None,
) -> None:
    """Sample items and print how good they are, beside the items of the dev split measured as if they were samples.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The training items, and those held out.
        ckpt_path: Checkpoint to sample from: a file, or last or best for that of the newest run.
        num_samples: Number of items to sample, without those longer than the longest training item.
        seed: Same seed, same items.
        temperature: Divides the logits; 0 takes the most likely character each time.
        top_k: Sample from the k most likely characters only; null for all.
        top_p: Sample from the most likely characters that together reach this probability, in (0, 1].
        output: File for the same figures, .json.

    Raises:
        UserError: If an option makes no sense, the data are not at hand, or not enough items end in time.
    """
    trainer.require_one_device()
    try:
        options = SamplingOptions(num_samples=num_samples, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    except UserError as error:
        raise UserError(str(error).replace("sampling.", "--", 1)) from None
    check(datamodule, ckpt_path, output)
    checkpoint.load_model(model, Path(ckpt_path), trainer.strategy.root_device)
    with trainer.strategy.precision_plugin.forward_context():
        items, valid = sample_items(model, datamodule, options)
    table = tabulate(datamodule, items, valid)
    print(table)
    if output is not None:
        of = {name: getattr(options, name) for name in ("num_samples", "temperature", "top_k", "top_p", "seed")}
        origin = {"ckpt_path": ckpt_path, "data": datamodule.path, "split": datamodule.split}
        with write_atomically(output, "--output") as partial:
            partial.write_text(table.json({**origin, **of}), encoding="utf-8")
