"""Train every model of configs/ and write docs/results.md: one split, one metric, side by side.

    uv run python benchmarks/results.py FILE

trains on FILE, under both splits, and the cheap ones with three seeds. Each run is one `fit` of its own with the config
as it is, on one thread, as many side by side as there are cores. Figures go to docs/results.json as they come, so
that a second start does only what is missing.
"""

# ruff: noqa: E501 -- the page's paragraphs are one line each, as everywhere in the documentation

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from mm_lightning import words
from mm_lightning.module import LanguageModel
from mm_lightning.quality import Quality, quality
from mm_lightning.sampling import BLOCK, SamplingOptions, draw_block
from mm_lightning.scoring import score
from mm_lightning.words import Splits, Words

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs/results.json"
PAGE = ROOT / "docs/results.md"
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
NUM_SAMPLES = 10_000


def jobs() -> list[tuple[str, str, int]]:
    """Config, split and seed of every run."""
    runs = [(name, split, SEEDS[0]) for split in ("lecture", "unique") for name in MODELS]
    return runs + [(name, "lecture", seed) for name in CHEAP for seed in SEEDS[1:]]


def train(name: str, split: str, seed: int, path: Path) -> dict[str, Any]:
    """One run and its figures."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mm_lightning", "fit", "--config", f"configs/{name}.yaml"]
        command += ["--data.path", str(path), "--data.split", split, "--seed_everything", str(seed)]
        command += ["--trainer.default_root_dir", folder, "--trainer.enable_progress_bar", "false"]
        seconds = cpu_seconds(command)
        checkpoint = Path(folder) / "lightning_logs/version_0/checkpoints/best.ckpt"
        model = LanguageModel.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).eval()
    figures = {"config": name, "split": split, "seed": seed, "seconds": seconds, **losses(model, path, split)}
    if (split, seed) == ("lecture", SEEDS[0]):
        figures["samples"] = asdict(sample_quality(model, splits_of(path, split)))
    return figures


def cpu_seconds(command: list[str]) -> float:
    """Run a command on one thread; the processor time that it took, which others on the machine change less."""
    with tempfile.TemporaryFile("w+") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        if status:
            raise RuntimeError(f"{' '.join(command)}: {output.read()[-500:]}")
    return usage.ru_utime + usage.ru_stime


def splits_of(path: Path, split: str) -> Splits:
    """Train, dev and test words of the file."""
    return words.split(words.read(path), "unique" if split == "unique" else "lecture", str(path))


def losses(model: LanguageModel, path: Path, split: str) -> dict[str, float]:
    """Nats per character of every split, and of the dev words unseen in training; number of parameters."""
    splits = splits_of(path, split)
    unseen = splits.dev.take(np.flatnonzero(~np.isin(splits.dev.hashes(), splits.train.hashes())))
    parts = {"train": splits.train, "dev": splits.dev, "test": splits.test, "unseen": unseen}
    result = {name: loss(model, part) for name, part in parts.items()}
    counts = [buffer.numel() for key, buffer in model.network.named_buffers() if key == "counts"]
    return {**result, "parameters": sum([p.numel() for p in model.network.parameters()] + counts)}


def loss(model: LanguageModel, part: Words) -> float:
    """Nats per character, closing boundaries included."""
    return score(model.network, model.vocabulary, part).double().sum().item() / (len(part) + len(part.codes))


def sample_quality(model: LanguageModel, splits: Splits) -> Quality:
    """Quality of the first 10,000 draws that end within the longest training word's length."""
    options = SamplingOptions(num_samples=NUM_SAMPLES, max_length=int(splits.train.lengths.max()))
    drawn: list[str] = []
    num_blocks = 0
    while len(drawn) < NUM_SAMPLES:
        drawn += draw_block(model.network, model.vocabulary, options, num_blocks)
        num_blocks += 1
    valid_share = len(drawn) / (num_blocks * BLOCK)
    return quality(Words.of(drawn[:NUM_SAMPLES]), round(NUM_SAMPLES / valid_share), splits)


def run(path: Path, only: list[str], side_by_side: int) -> None:
    """Do the runs that have no figures yet."""
    rows = json.loads(FIGURES.read_text()) if FIGURES.exists() else []
    known = {(row["config"], row["split"], row["seed"]) for row in rows}
    wanted = [job for job in jobs() if job not in known and (not only or job[0] in only)]
    with ThreadPoolExecutor(side_by_side) as pool:
        for future in as_completed([pool.submit(train, *job, path) for job in wanted]):
            rows.append(future.result())
            print({key: value for key, value in rows[-1].items() if key != "samples"}, flush=True)
            FIGURES.parent.mkdir(exist_ok=True)
            FIGURES.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def page(path: Path) -> str:
    """The document, from the figures."""
    rows = json.loads(FIGURES.read_text())
    found = {(row["config"], row["split"], row["seed"]): row for row in rows}
    lecture = {name: found[name, "lecture", SEEDS[0]] for name in MODELS}
    unique = {name: found[name, "unique", SEEDS[0]] for name in MODELS}
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
        (seeds(name, [found[name, "lecture", seed]["dev"] for seed in SEEDS]) for name in CHEAP),
    )
    draw(lecture)
    splits = splits_of(path, "lecture")
    reference = ("the dev split itself", asdict(quality(splits.dev, len(splits.dev), splits)))
    drawn = table(
        ("config", "valid", "unique", "new", "hits on dev", "lengths", "bigrams"),
        (shares(*entry) for entry in [*((f"`{n}`", row["samples"]) for n, row in lecture.items()), reference]),
    )
    return TEXT.format(
        lines=len(splits.train) + len(splits.dev) + len(splits.test),
        main=main,
        other=other,
        spread=spread,
        drawn=drawn,
        torch=torch.__version__.split("+")[0],
    )


def draw(rows: dict[str, dict[str, Any]]) -> None:
    """Dev loss over parameters, one labelled point a model."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for name, row in rows.items():
        counted = name in ("bigram_counts", "ngram")
        axes.plot(row["parameters"], row["dev"], "s" if counted else "o", color="#d95f02" if counted else "#1f77b4")
        axes.annotate(name, (row["parameters"], row["dev"]), xytext=(6, 4), textcoords="offset points", fontsize=9)
    axes.set_xscale("log")
    axes.set_xlabel("parameters (squares: n-grams counted)")
    axes.set_ylabel("dev, nats per character, split lecture")
    axes.margins(x=0.12)
    axes.grid(alpha=0.3)
    figure.savefig(PAGE.with_suffix(".png"), dpi=120)


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


TEXT = """# Every model on one split and one metric

Written by `benchmarks/results.py` from real runs; do not edit. Nats per character, closing boundaries included, over all words of a split, from the epoch that was best on dev; test was looked at once, when this page was made. Every row is

```console
$ uv run python -m mm_lightning fit --config configs/CONFIG.yaml --data.path FILE --data.split SPLIT
```

with seed 42, where FILE is the file of the lectures ({lines:,} lines; not shipped). The steps stand in the configs. Minutes are processor time of the whole command on one thread, torch {torch}. Parameters of the models that count are n-grams kept.

## Split `lecture`

Repeated names stay in, so 424 of the 3,203 dev names stand in training too; "dev, unseen" leaves these out.

{main}

![Dev loss over parameters](results.png)

## Split `unique`

Repeats are removed first: no dev or test name stands in training. These are other dev and test words than above, and rarer ones.

{other}

## Three seeds

Dev of split `lecture` with seeds 42, 43 and 44.

{spread}

## What they make

10,000 words each, seed 42, temperature 1, from the models of the first table. Valid: ended within the length of the longest training word. Unique: different words among them. New: of these, not in training. Hits on dev: of the dev words unseen in training, how many were drawn. Lengths and bigrams: exp(-KL) of the training words' to those drawn, 1 being alike. The last row is what real names score, though there are only 3,203.

{drawn}
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train every model and write docs/results.md.")
    parser.add_argument("file", type=Path, help="names, one a line")
    parser.add_argument("--only", nargs="*", default=[], help="configs to run; the page is written with all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs side by side")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run(options.file.resolve(), options.only, options.jobs)
    if not options.only:
        PAGE.write_text(page(options.file), encoding="utf-8")
