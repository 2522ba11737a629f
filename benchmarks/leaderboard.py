"""The page of results: tables and a picture of the figures that results.py measures."""

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

MODELS = {  # config: description, published dev loss
    "bigram_counts": ("bigram, counted, add-one smoothing", "2.4533"),
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
    "mlp_best": ("MLP, context 8, two layers of 600", ""),
    "lstm_512": ("LSTM, 512 units", ""),
}
CHEAP = ("mlp_2d_100", "mlp_context8", "wavenet_22k", "bag_of_words", "rnn", "gru", "lstm")
SEEDS = (42, 43, 44)
TEXT = """# Every model on one split and one metric

Written by `benchmarks/results.py` from real runs; do not edit. Losses are nats per character, closing boundaries included, over all items of a split. A row holds the epoch with the lowest dev loss. The test split was never used to choose settings. Every row is

```console
$ uv run python -m mm_lightning fit --config configs/CONFIG.yaml --data.path FILE --data.split SPLIT
```

with seed 42. FILE is the file of the lectures ({lines:,} lines; not shipped). Each config states its number of steps. Settings were chosen by dev loss on the split `lecture`, one run per trial: about 25 trials for `mlp_best`, 7 for the recurrent networks and `lstm_512`, 8 for the WaveNets, 6 for `mlp_context8` and 4 for the Transformer. The choice makes the dev loss slightly optimistic; the test loss shows by how much. `mlp_best` and `lstm_512` are the lowest losses reached in about 15 minutes on 2 cores, by an MLP and by any network. Minutes are processor time of the whole command on one thread, with torch {torch}. The parameters of counting models are their n-grams.

## Split `lecture`

Repeated names are kept, so {seen:,} of the {dev:,} dev names also occur in train; "dev, unseen" leaves them out.

{main}

![Losses of each model](results.png)

## Split `unique`

Repeats are removed first: no dev or test name occurs in train. The dev and test items differ from the ones above.

{other}

## Three seeds

Dev loss on the split `lecture` with seeds 42, 43 and 44.

{spread}

## Quality of samples

10,000 samples of each model of the first table, with seed 42 and temperature 1.

- valid: share of samples that ended within the length of the longest training item.
- unique: share of different items among the valid samples.
- new: share of the different items that are not in the train split.
- hits on dev: share of the dev items unseen in training that were sampled.
- lengths, bigrams: exp(-KL) from the distribution in train to the distribution in the samples; 1 where both are equal.

The last row measures the {dev:,} dev names as if they were samples; most measures depend on the number of samples.

{quality}
"""


def write(rows: list[dict[str, Any]], data: ItemsDataModule, path: Path) -> None:
    """Write the page, and its picture into the same folder.

    Args:
        rows: Figures of the runs.
        data: The items with the split `lecture`.
        path: File of the page.
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
    plot(lecture, path.with_suffix(".png"))
    reference = ("the dev split itself", asdict(TrainingReference.of(data).quality(splits.dev, 1.0)))
    quality = table(
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
        quality=quality,
        torch=torch.__version__.split("+")[0],
    )
    path.write_text(text, encoding="utf-8")


def plot(rows: dict[str, dict[str, Any]], path: Path) -> None:
    """Plot the losses, one row of the picture per model."""
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
    """Cells with the losses of these parts."""
    return tuple(f"{row[part]:.4f}" for part in parts)


def seeds(name: str, values: list[float]) -> tuple[str, ...]:
    """Row of the table of seeds."""
    each = ", ".join(f"{value:.4f}" for value in values)
    return f"`{name}`", f"{statistics.mean(values):.4f}", f"{statistics.stdev(values):.4f}", each


def shares(name: str, values: dict[str, float]) -> tuple[str, ...]:
    """Row of the table of sample quality."""
    is_reference = not name.startswith("`")
    hits = "" if is_reference else f"{values['dev_hits']:.1%}"
    percents = (f"{values[key]:.1%}" for key in ("valid", "unique", "new"))
    return name, *percents, hits, *(f"{values[key]:.3f}" for key in ("lengths", "bigrams"))


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
