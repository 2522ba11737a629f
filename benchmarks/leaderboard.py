"""The page that sets all models side by side, made of the figures that results.py measures."""

# ruff: noqa: E501 -- the page's paragraphs are one line each, as everywhere in the documentation

import statistics
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.evaluation.quality import TrainingReference

MODELS = {  # config, what it is, published dev loss
    "bigram_counts": ("bigram, counted, plus one", "2.4533"),
    "bigram": ("bigram, one matrix", "2.46-2.48"),
    "ngram": ("6-grams, counted, Kneser-Ney", ""),
    "mlp_2d_100": ("MLP, context 3, 2-D, 100 hidden", "2.30"),
    "mlp_2d_300": ("MLP, context 3, 2-D, 300 hidden", "2.24"),
    "mlp": ("MLP, context 3, 10-D, 200 hidden", "2.170"),
    "mlp_context8": ("MLP, context 8, 10-D, 200 hidden", "2.027"),
    "wavenet_22k": ("WaveNet, context 8, 68 hidden", "2.022"),
    "wavenet_76k": ("WaveNet, context 8, 128 hidden", "1.9937"),
    "bag_of_words": ("bag of words", ""),
    "rnn": ("RNN", ""),
    "gru": ("GRU", ""),
    "lstm": ("LSTM", ""),
    "transformer": ("Transformer, 4 layers, 64 wide", "~1.92, other split"),
    "mlp_best": ("MLP, as good as we could", ""),
    "best": ("anything, as good as we could", ""),
}
CHEAP = ("mlp_2d_100", "mlp_context8", "wavenet_22k", "bag_of_words", "rnn", "gru", "lstm")
SEEDS = (42, 43, 44)
TEXT = """# Every model on one split and one metric

Written by `benchmarks/results.py` from real runs; do not edit. Nats per character, closing boundaries included, over all words of a split, from the epoch that was best on dev; test was scored after a recipe was fixed, and chose nothing. Every row is

```console
$ uv run python -m mm_lightning fit --config configs/CONFIG.yaml --data.path FILE --data.split SPLIT
```

with seed 42, where FILE is the file of the lectures ({lines:,} lines; not shipped). The steps stand in the configs. Settings were chosen on dev of the split `lecture` by one run each, among about 25 trials for `mlp_best`, 7 for the recurrent networks and `best`, 8 for the WaveNets, 6 for `mlp_context8` and 4 for the Transformer; so dev flatters them a little, and test says by how much. Minutes are processor time of the whole command on one thread, torch {torch}. Parameters of the models that count are n-grams kept.

## Split `lecture`

Repeated names stay in, so {seen:,} of the {dev:,} dev names stand in training too; "dev, unseen" leaves these out.

{main}

![Losses of each model](results.png)

## Split `unique`

Repeats are removed first: no dev or test name stands in training. These are other dev and test words than above.

{other}

## Three seeds

Dev of split `lecture` with seeds 42, 43 and 44.

{spread}

## What they make

10,000 words each, seed 42, temperature 1, from the models of the first table. Valid: ended within the length of the longest training word. Unique: different words among them. New: of these, not in training. Hits on dev: of the dev words unseen in training, how many were drawn. Lengths and bigrams: exp(-KL) of the training words' to those drawn, 1 being alike. The last row is what real names score, though there are only {dev:,}.

{drawn}
"""


def write(rows: list[dict[str, Any]], data: ItemsDataModule, path: Path) -> None:
    """Write the page, and its picture beside it.

    Args:
        rows: Figures of the runs.
        data: The words, split `lecture`.
        path: Of the page.
    """
    splits = data.splits
    found = {(row["config"], row["split"], row["seed"]): row for row in rows}
    lecture, unique = (
        {name: found[name, split, SEEDS[0]] for name in MODELS if (name, split, SEEDS[0]) in found}
        for split in ("lecture", "unique")
    )
    repeated = [name for name in CHEAP if all((name, "lecture", seed) in found for seed in SEEDS)]
    main = table(
        ("config", "model", "parameters", "train", "dev", "dev, unseen", "test", "minutes", "published dev"),
        (
            (
                f"`{name}`",
                MODELS[name][0],
                f"{row['parameters']:,}",
                *nats(row, "train", "dev", "unseen", "test"),
                f"{row['seconds'] / 60:.1f}",
                MODELS[name][1],
            )
            for name, row in lecture.items()
        ),
    )
    other = table(
        ("config", "train", "dev", "test", "minutes"),
        ((f"`{n}`", *nats(r, "train", "dev", "test"), f"{r['seconds'] / 60:.1f}") for n, r in unique.items()),
    )
    spread = table(
        ("config", "mean", "standard deviation", "each"),
        (seeds(name, [found[name, "lecture", seed]["dev"] for seed in SEEDS]) for name in repeated),
    )
    draw(lecture, path.with_suffix(".png"))
    reference = ("the dev split itself", asdict(TrainingReference.of(data).quality(splits.dev, 1.0)))
    drawn = table(
        ("config", "valid", "unique", "new", "hits on dev", "lengths", "bigrams"),
        (shares(*entry) for entry in [*((f"`{n}`", row["samples"]) for n, row in lecture.items()), reference]),
    )
    text = TEXT.format(
        lines=len(splits.train) + len(splits.dev) + len(splits.test),
        dev=len(splits.dev),
        seen=int(np.isin(splits.dev.hashes(), splits.train.hashes()).sum()),
        main=main,
        other=other,
        spread=spread,
        drawn=drawn,
        torch=torch.__version__.split("+")[0],
    )
    path.write_text(text, encoding="utf-8")


def draw(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """Losses of each model, one line a model."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for part, marker, label in (
        ("dev", "o", "dev"),
        ("unseen", "|", "dev, unseen in training"),
        ("train", "x", "train"),
    ):
        axes.plot([row[part] for row in rows.values()], list(rows), marker, label=label)
    axes.invert_yaxis()
    axes.set_xlabel("nats per character, split lecture")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def nats(row: dict[str, Any], *parts: str) -> tuple[str, ...]:
    """Losses as cells."""
    return tuple(f"{row[part]:.4f}" for part in parts)


def seeds(name: str, values: list[float]) -> tuple[str, ...]:
    """A row of the table of seeds."""
    each = ", ".join(f"{value:.4f}" for value in values)
    return f"`{name}`", f"{statistics.mean(values):.4f}", f"{statistics.stdev(values):.4f}", each


def shares(name: str, values: dict[str, float]) -> tuple[str, ...]:
    """A row of the table of samples."""
    is_reference = not name.startswith("`")
    hits = "" if is_reference else f"{values['dev_hits']:.1%}"
    percents = (f"{values[key]:.1%}" for key in ("valid", "unique", "new"))
    return name, *percents, hits, *(f"{values[key]:.3f}" for key in ("lengths", "bigrams"))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Markdown."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
