"""Measure the rows of docs/results.md, and write the page.

    uv run python benchmarks/results.py FILE
    uv run python benchmarks/results.py FILE --check ROW CHECKPOINT

The first command trains each row of rows.py on FILE with three seeds and both splits, one thread a run; by default one
run per core works at a time. Each finished run adds its figures to docs/results.json, and a second start trains only
the missing ones. Runs stay in lightning_logs/results, where mixtures and students find them; one that is gone is
trained again where it is needed, and its row keeps the first figures. The second command measures a checkpoint as the
rows are measured, and compares it with a row.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path

import leaderboard
import torch
from machine import processor
from rows import ROOT, ROWS, SEEDS, Figures, Job, jobs, needs

from mm_lightning import UserError
from mm_lightning.cli.guest import Prepared
from mm_lightning.commands.parts.library_warnings import quiet
from mm_lightning.compare.opening import open_run
from mm_lightning.compare.runs import read_run
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.export.measuring import split_losses
from mm_lightning.networks.parts.bfloat16 import has_bfloat16
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.valid_items import sample_valid

FIGURES = ROOT / "docs/results.json"
RUNS = Path("lightning_logs/results").resolve()
NUM_SAMPLES = 10_000
TOLERANCE_NATS = 0.0005  # of the same weights on another processor
LOSSES = ("train", "dev", "unseen", "test")


def folder_of(job: Job) -> Path:
    """Folder of a run."""
    return RUNS / "-".join(map(str, job)).replace(" ", "")


def checkpoint_of(job: Job) -> Path:
    """Checkpoint of a finished run."""
    return folder_of(job) / ROWS[job[0]].result


def train(job: Job, path: Path) -> Figures:
    """Carry out the command of a row and return its figures."""
    name, split, seed = job
    arguments = ROWS[name].arguments(path, split, seed, map(checkpoint_of, needs(job)))
    shutil.rmtree(folder_of(job), ignore_errors=True)  # of an interrupted run
    folder_of(job).mkdir(parents=True)
    if not has_bfloat16():
        arguments = ["32-true" if word == "bf16-mixed" else word for word in arguments]
    seconds = cpu_seconds([sys.executable, "-m", "mm_lightning", *arguments], folder_of(job))
    app = opened(checkpoint_of(job), path)
    figures = {"config": name, "split": split, "seed": seed, "processor": processor(), "seconds": seconds}
    figures |= losses(app)
    if (split, seed) == ("lecture", SEEDS[0]):
        figures["samples"] = sample_quality(app)
    return figures


def cpu_seconds(command: list[str], folder: Path) -> float:
    """Run a command on one thread and return its processor time, which other processes change less than wall time.

    Raises:
        RuntimeError: If the command fails.
    """
    with tempfile.TemporaryFile("w+") as output:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        if status:
            raise RuntimeError(f"{' '.join(command)}: {output.read()[-500:]}")
    return usage.ru_utime + usage.ru_stime


def opened(checkpoint: Path, path: Path) -> Prepared:
    """Open a checkpoint and the data that it was trained on."""
    with quiet():
        return open_run(read_run(checkpoint), str(path), "this benchmark")


def losses(app: Prepared) -> dict[str, float | None]:
    """Nats per character of every split and of the dev items unseen in training; number of parameters."""
    parts = split_losses(app.model, app.datamodule)
    figures = {name: part.all for name, part in parts.items()}
    return {**figures, "unseen": parts["dev"].unseen, "parameters": app.model.network.num_parameters}


def sample_quality(app: Prepared) -> dict[str, float | None]:
    """Quality of the first 10,000 samples that end within the length of the longest training item."""
    model, data = app.model, app.datamodule
    options = SamplingOptions(num_samples=NUM_SAMPLES, max_length=int(data.examples.lengths.max()))
    samples, valid = sample_valid(model.network, model.vocabulary, model.labels, options)
    reference = TrainingReference.of(data)
    return {**asdict(reference.quality(samples, valid)), "dev_hits": reference.hit_rate(samples, data.splits.dev)}


def run(path: Path, only: list[str], num_workers: int) -> None:
    """Measure the rows that have no figures yet, `num_workers` at a time; `only` some, and the rows that these need."""
    rows = json.loads(FIGURES.read_text()) if FIGURES.exists() else []
    known = {(row["config"], row["split"], row["seed"]): row for row in rows}
    waiting = [job for job in jobs() if job not in known and (not only or job[0] in only)]
    for job in waiting:  # grows
        ended = {need for need in needs(job) if need in known and checkpoint_of(need).exists()}
        waiting += [need for need in needs(job) if need not in ended and need not in waiting]
    waiting.sort(key=jobs().index)
    running: dict[Future[Figures], Job] = {}
    errors = []
    with ThreadPoolExecutor(num_workers) as pool:
        while waiting or running:
            unfinished = {*waiting, *running.values()}
            ready = [job for job in waiting if unfinished.isdisjoint(needs(job))]
            for job in ready[: num_workers - len(running)]:
                waiting.remove(job)
                running[pool.submit(train, job, path)] = job
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                if error := future.exception():
                    errors.append(error)
                    waiting.clear()  # the runs beside it keep their figures
                    continue
                figures = future.result()
                known.setdefault(job, figures)
                print({key: value for key, value in figures.items() if key != "samples"}, flush=True)
                FIGURES.write_text("[\n" + ",\n".join(map(json.dumps, known.values())) + "\n]\n")
    if errors:
        raise errors[0]


def check(path: Path, name: str, checkpoint: Path) -> bool:
    """Print a checkpoint's losses beside those of a row; whether they agree with a seed of the row."""
    app = opened(checkpoint, path)
    own, split = losses(app), app.datamodule.split
    rows = [row for row in json.loads(FIGURES.read_text()) if (row["config"], row["split"]) == (name, split)]
    if not rows:
        raise SystemExit(f"docs/results.json has no row {name} of the split {split}")
    print(f"{'':12}{''.join(f'{part:>9}' for part in LOSSES)}   split {split}")
    for label, values in [("checkpoint", own), *((f"seed {row['seed']}", row) for row in rows)]:
        print(f"{label:12}{''.join(f'{values[part]:9.4f}' for part in LOSSES)}")
    return any(all(abs(own[part] - row[part]) < TOLERANCE_NATS for part in LOSSES) for row in rows)


def main() -> None:
    """Measure and write, or check."""
    parser = argparse.ArgumentParser(description="Measure the rows of docs/results.md, and write the page.")
    parser.add_argument("file", type=Path, help="items to train on, one per line")
    parser.add_argument(
        "--only", nargs="*", default=[], choices=ROWS, metavar="ROW", help="measure these rows alone, write no page"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of runs at a time")
    parser.add_argument("--check", nargs=2, metavar=("ROW", "CHECKPOINT"), help="compare a checkpoint with a row")
    options = parser.parse_args()
    torch.set_num_threads(1)
    path = options.file.resolve()
    if options.check is not None:
        name, checkpoint = options.check
        try:
            agrees = check(path, name, Path(checkpoint))
        except UserError as error:
            raise SystemExit(f"{error}") from None
        raise SystemExit(
            0 if agrees else f"{checkpoint} is not the row {name}: its losses differ by more than {TOLERANCE_NATS}"
        )
    run(path, options.only, options.jobs)
    if not options.only:
        leaderboard.write(json.loads(FIGURES.read_text()), path, ROOT / "docs/results.md")


if __name__ == "__main__":
    main()
