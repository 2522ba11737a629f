"""The page of results: tables and a picture of the figures that results.py measures."""

# ruff: noqa: E501 -- the page's paragraphs are one line each, as everywhere in the documentation

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import torch
from matplotlib.figure import Figure
from rows import ROWS, SEEDS, SPLITS, Figures, Job, fit, jobs, sources

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.evaluation.quality import TrainingReference

TEXT = """# Every model on one protocol

Written by `benchmarks/results.py` from real runs; do not edit. Whoever measures by this protocol can add a row.

## Protocol

- Data: the file of the lectures, {lines:,} lines, not shipped. `data.split` is `lecture`: repeated names stay, items are shuffled with Python's `random.seed(42)`, and 80 % are train, 10 % dev, 10 % test. Or `unique`: repeats are removed first.
- Loss: mean NLL in nats per character over **all items of a split, whole**: the first character and the closing boundary are targets like the others. Losses that leave out the first character are lower by some 0.15 nats and cannot be compared.
- "unseen" leaves out the dev names that occur in train: {seen:,} of {dev:,} with `lecture`. A model that learns names by heart has a low loss on the others.
- A row is the epoch with the lowest dev loss. Settings, the epoch and the weights of a mixture are chosen on dev; test is looked at once, for this page. So dev is slightly optimistic, and test says by how much.
- Seeds 42, 43 and 44: mean, and ± the standard deviation. Not measured yet: {missing}.
- Minutes are processor time on one thread of {machine}, torch {torch}, mean of the seeds. Those of a mixture or a student contain the minutes of the rows that it is made from.
- Measured on another processor, with float32 for `bf16-mixed` where it has no bfloat16: {elsewhere}. Minutes are without these.
- Settings were chosen by dev loss on `lecture`, one run per trial: about 30 trials for `mlp_best`, 15 for `lstm_512`, 7 for the other recurrent networks, 8 for the WaveNets, 6 for `mlp_context8` and 4 for the Transformer.

A row's commands are below the tables. To compare a checkpoint of yours with a row:

```console
$ uv run python benchmarks/results.py FILE --check lstm_512 lightning_logs/version_0/checkpoints/best.ckpt
```

It measures all splits and fails unless each loss is within 0.0005 of one of the row's seeds.

## Split `lecture`

{lecture}

![Losses of each model](results.png)

## Split `unique`

No dev or test name occurs in train. The dev and test items differ from the ones above.

{unique}

## Quality of samples

10,000 samples of each model of the split `lecture`, with seed 42 and temperature 1.

- valid: share of samples that ended within the length of the longest training item.
- unique: share of different items among the valid samples.
- new: share of the different items that are not in the train split.
- hits on dev: share of the dev items unseen in training that were sampled.
- lengths, bigrams: exp(-KL) from the distribution in train to the distribution in the samples; 1 where both are equal.

The last row measures the {dev:,} dev names as if they were samples; most measures depend on the number of samples.

{quality}

## Commands

`fit` gets `--data.path FILE --data.split SPLIT --seed_everything SEED` as well. A row with the name of a recipe is `fit --config configs/ROW.yaml`. The others, where a name in braces stands for the checkpoint of that row, with the same seed or the one beside it:

{commands}
"""


def write(rows: list[Figures], data_path: Path, path: Path) -> None:
    """Write the page, and its picture into the same folder.

    Args:
        rows: Figures of the runs.
        data_path: The data.
        path: File of the page.
    """
    data = ItemsDataModule(str(data_path))
    splits = data.splits
    tables = {split: by_row(rows, split) for split in SPLITS}
    lecture = {name: seeds[0] for name, seeds in tables["lecture"].items()}
    plot(lecture, path.with_suffix(".png"))
    reference = ("the dev split itself", asdict(TrainingReference.of(data).quality(splits.dev, 1.0)))
    measured = [(f"`{name}`", row["samples"]) for name, row in lecture.items() if "samples" in row]
    quality = table(
        ("row", "valid", "unique", "new", "hits on dev", "lengths", "bigrams"),
        (shares(*entry) for entry in [*measured, reference]),
    )
    machine = statistics.mode(row["processor"] for row in rows)
    measured_at = {(row["config"], row["split"], row["seed"]): row["processor"] for row in rows}
    text = TEXT.format(
        lines=len(splits.train) + len(splits.dev) + len(splits.test),
        dev=len(splits.dev),
        seen=int(data.is_in_training(splits.dev).sum()),
        machine=machine,
        missing=listed(job for job in jobs() if job not in measured_at),
        elsewhere=listed(job for job, place in measured_at.items() if place != machine),
        torch=torch.__version__.split("+")[0],
        lecture=losses_table(tables["lecture"], ("train", "dev", "unseen", "test"), machine),
        unique=losses_table(tables["unique"], ("train", "dev", "test"), machine),
        quality=quality,
        commands="\n\n".join(
            f"`{name}`:\n\n```console\n{ROWS[name].shown()}\n```"
            for name in (tables["lecture"] | tables["unique"])
            if ROWS[name].command != fit(name)
        ),
    )
    path.write_text(text, encoding="utf-8")


def by_row(rows: list[Figures], split: str) -> dict[str, list[Figures]]:
    """Figures of each row on a split, by seed, in the order of the page."""
    found = {(row["config"], row["seed"]): row for row in rows if row["split"] == split}
    return {
        name: [found[name, seed] for seed in SEEDS if (name, seed) in found]
        for name in ROWS
        if any((name, seed) in found for seed in SEEDS)
    }


def listed(some: Iterable[Job]) -> str:
    """Measurements for people, rows of the same seeds together."""
    seeds = defaultdict(list)
    for name, split, seed in sorted(some, key=jobs().index):
        seeds[name, split].append(str(seed))
    names = defaultdict(list)
    for (name, split), each in seeds.items():
        names[split, ", ".join(each)].append(f"`{name}`")
    return "; ".join(f"{', '.join(rows)} with `{split}` and {each}" for (split, each), rows in names.items()) or "none"


def losses_table(rows: dict[str, list[Figures]], parts: tuple[str, ...], machine: str) -> str:
    """Table of the losses of rows, each the mean of its seeds; published ones are those of the split `lecture`."""
    published = ["published dev"] if "unseen" in parts else []
    return table(
        ("row", "model", "parameters", *parts, "minutes", *published),
        (
            (
                f"`{name}`",
                ROWS[name].model,
                f"{seeds[0]['parameters']:,}",
                *(spread([figures[part] for figures in seeds]) for part in parts),
                minutes(name, rows, machine),
                *(ROWS[name].published for _ in published),
            )
            for name, seeds in rows.items()
        ),
    )


def minutes(name: str, rows: dict[str, list[Figures]], machine: str) -> str:
    """Processor time on a machine of a row and of all that it is made from, each the mean of its seeds; or nothing."""
    first = rows[name][0]
    made_from = sources((name, first["split"], first["seed"]))
    names = [name, *(source for source, _, _ in made_from)]
    seconds = [[row["seconds"] for row in rows[each] if row["processor"] == machine] for each in names]
    return f"{sum(map(statistics.mean, seconds)) / 60:.1f}" if all(seconds) else ""


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


def plot(rows: dict[str, Figures], path: Path) -> None:
    """Plot the losses, one row of the picture per model."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for part, marker, label in (
        ("dev", "o", "dev"),
        ("unseen", "|", "dev, unseen"),
        ("train", "x", "train"),
    ):
        axes.plot([row[part] for row in rows.values()], list(rows), marker, label=label)
    axes.invert_yaxis()
    axes.set_xlabel("nats per character, split lecture")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=100)


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
