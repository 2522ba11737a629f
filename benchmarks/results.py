"""Train every model of configs/ on one split and one metric, and write docs/results.md.

    uv run python benchmarks/results.py FILE

trains on FILE with both splits, and the cheap models with three seeds. Each run is one `fit` with an unchanged config
on one thread; by default one run per core works at a time. Each finished run adds its figures to docs/results.json, and
a second start trains only the missing ones.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import leaderboard
import numpy as np
import torch
from leaderboard import CHEAP, MODELS, SEEDS

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.reading import read_items
from mm_lightning.data.splits import Splits, split_items
from mm_lightning.evaluation.loss import score
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.valid_items import sample_valid
from mm_lightning.training.module import LanguageModel

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs/results.json"
NUM_SAMPLES = 10_000


def jobs() -> list[tuple[str, str, int]]:
    """Config, split and seed of every run."""
    runs = [(name, split, SEEDS[0]) for split in ("lecture", "unique") for name in MODELS]
    return runs + [(name, "lecture", seed) for name in CHEAP for seed in SEEDS[1:]]


def train(name: str, split: str, seed: int, path: Path) -> dict[str, Any]:
    """Train one model and return its figures."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "mm_lightning", "fit", "--config", f"configs/{name}.yaml"]
        command += ["--data.path", str(path), "--data.split", split, "--seed_everything", str(seed)]
        command += ["--trainer.default_root_dir", folder, "--trainer.enable_progress_bar", "false"]
        seconds = cpu_seconds(command)
        checkpoint = Path(folder) / "lightning_logs/version_0/checkpoints/best.ckpt"
        model = LanguageModel.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).eval()
    figures = {"config": name, "split": split, "seed": seed, "seconds": seconds, **losses(model, path, split)}
    if (split, seed) == ("lecture", SEEDS[0]):
        figures["samples"] = sample_quality(model, ItemsDataModule(str(path)))
    return figures


def cpu_seconds(command: list[str]) -> float:
    """Run a command on one thread and return its processor time, which other processes change less than wall time.

    Raises:
        RuntimeError: If the command fails.
    """
    with tempfile.TemporaryFile("w+") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        if status:
            raise RuntimeError(f"{' '.join(command)}: {output.read()[-500:]}")
    return usage.ru_utime + usage.ru_stime


def splits_of(path: Path, split: str) -> Splits:
    """Train, dev and test items of the file."""
    return split_items(read_items(path), "unique" if split == "unique" else "lecture", str(path))


def losses(model: LanguageModel, path: Path, split: str) -> dict[str, float]:
    """Nats per character of every split and of the dev items unseen in training; number of parameters."""
    splits = splits_of(path, split)
    unseen = splits.dev.take(np.flatnonzero(~np.isin(splits.dev.hashes(), splits.train.hashes())))
    parts = {"train": splits.train, "dev": splits.dev, "test": splits.test, "unseen": unseen}
    nats = {name: loss(model, part) for name, part in parts.items()}
    return {**nats, "parameters": model.network.num_parameters}


def loss(model: LanguageModel, part: Items) -> float:
    """Nats per character, closing boundaries included."""
    return score(model.network, model.vocabulary, part).double().sum().item() / (len(part) + len(part.code_points))


def sample_quality(model: LanguageModel, data: ItemsDataModule) -> dict[str, float | None]:
    """Quality of the first 10,000 samples that end within the length of the longest training item."""
    options = SamplingOptions(num_samples=NUM_SAMPLES, max_length=int(data.examples.lengths.max()))
    samples, valid = sample_valid(model.network, model.vocabulary, model.labels, options)
    return {
        **asdict(TrainingReference.of(data).quality(samples, valid)),
        "dev_hits": TrainingReference.of(data).hit_rate(samples, data.splits.dev),
    }


def run(path: Path, only: list[str], num_workers: int) -> None:
    """Train the models that have no figures yet, `num_workers` at a time."""
    rows = json.loads(FIGURES.read_text()) if FIGURES.exists() else []
    known = {(row["config"], row["split"], row["seed"]) for row in rows}
    wanted = [job for job in jobs() if job not in known and (not only or job[0] in only)]
    with ThreadPoolExecutor(num_workers) as pool:
        for future in as_completed([pool.submit(train, *job, path) for job in wanted]):
            rows.append(future.result())
            print({key: value for key, value in rows[-1].items() if key != "samples"}, flush=True)
            FIGURES.parent.mkdir(exist_ok=True)
            FIGURES.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train every model and write docs/results.md.")
    parser.add_argument("file", type=Path, help="items to train on, one per line")
    parser.add_argument("--only", nargs="*", default=[], help="train only these configs, and write no page")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of runs at a time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    run(options.file.resolve(), options.only, options.jobs)
    if not options.only:
        leaderboard.write(json.loads(FIGURES.read_text()), ItemsDataModule(str(options.file)), ROOT / "docs/results.md")
