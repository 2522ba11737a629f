"""Time per optimiser step: the lecture's plain loop against `fit` with everything on, in turn."""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from lecture import seconds_per_step
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data/names.txt"
ROUNDS = 3
WAYS = {
    "fit, single steps": ("--trainer.steps_per_execution", "1", "--trainer.max_steps", "8000"),
    "fit, blocks": ("--trainer.compile", "false", "--trainer.max_steps", "20000"),
    "fit, compiled blocks": ("--trainer.compile", "true", "--trainer.max_steps", "60000"),
}


def run(*options: str, cache: str | None = None) -> tuple[Path, tempfile.TemporaryDirectory[str]]:
    """The folder of a fit that went well, on one thread, in a process of its own."""
    folder = tempfile.TemporaryDirectory()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment |= {} if cache is None else {"TORCHINDUCTOR_CACHE_DIR": cache}
    command = [sys.executable, "-m", "mm_lightning", "fit", "--trainer.default_root_dir", folder.name, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Path(folder.name) / "lightning_logs/version_0", folder


def points(*options: str) -> list[tuple[int, float]]:
    """Step and time in seconds of the points of a fit's curve, from a fifth of the run on."""
    path, folder = run(*options)
    with folder:
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        found = [(event.step, event.wall_time) for event in events.Scalars("train/loss")]
    return found[len(found) // 5 :]


def fit_seconds_per_step(*options: str) -> float:
    """Time per step, validation and checkpoints included, by the curves' own clock."""
    found = points(*options)
    (first, began), (last, ended) = found[0], found[-1]
    return (ended - began) / (last - first)


def measure(rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds per step of each way, a figure a round."""
    config = ("--config", str(ROOT / "configs/mlp.yaml"), "--data.path", str(DATA))
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        figures.setdefault("lecture loop", []).append(seconds_per_step(DATA, 10_000))
        for name, options in WAYS.items():
            figures.setdefault(name, []).append(fit_seconds_per_step(*config, *options))
    return figures


if __name__ == "__main__":
    torch.set_num_threads(1)
    figures = measure()
    for name, values in figures.items():
        ratios = [a / b for a, b in zip(values, figures["lecture loop"], strict=True)]
        spread = f"({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name:<28}{statistics.median(values) * 1e6:8.0f} us {statistics.median(ratios):8.2f} x   {spread}")
