"""Time per optimiser step: the lecture's plain loop against `fit` with all its features on, in turn."""

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
    """Run `fit` on one thread in a process of its own.

    Returns:
        The run folder, and the temporary folder that holds it.

    Raises:
        RuntimeError: If the command fails.
    """
    folder = tempfile.TemporaryDirectory()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment |= {} if cache is None else {"TORCHINDUCTOR_CACHE_DIR": cache}
    command = [sys.executable, "-m", "mm_lightning", "fit", "--trainer.default_root_dir", folder.name, *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return Path(folder.name) / "lightning_logs/version_0", folder


def points(*options: str) -> list[tuple[int, float]]:
    """Step and wall time in seconds of each point of the loss curve, without the first fifth of the run."""
    path, folder = run(*options)
    with folder:
        events = EventAccumulator(str(path), size_guidance={"scalars": 0})
        events.Reload()
        found = [(event.step, event.wall_time) for event in events.Scalars("train/loss")]
    return found[len(found) // 5 :]


def fit_seconds_per_step(*options: str) -> float:
    """Seconds per step from the wall times of the loss curve, validation and checkpoints included."""
    found = points(*options)
    (first, began), (last, ended) = found[0], found[-1]
    return (ended - began) / (last - first)


def measure(rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds per step, each way, one figure per round."""
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
