"""Time of whole processes: the lecture's loop against `fit`, in turn.

uv run python benchmarks/process.py [FILE]
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from step import DATA, ROOT, run

from mm_lightning.training import checkpoint
from mm_lightning.training.run_folders import BEST, checkpoint_of

ROUNDS = 3
STEPS = 200_000
TARGET = 2.17  # dev loss that the lecture reports


def lecture(path: Path, *target: str) -> float:
    """Seconds of a process with the lecture's loop, to the last step or, where it comes first, to a dev loss."""
    began = time.perf_counter()
    command = [sys.executable, str(ROOT / "benchmarks/lecture.py"), str(path), str(STEPS), *target]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=sys.stderr, check=True)
    return time.perf_counter() - began


def fit(config: str, path: Path, cache: str, target: float | None = None) -> float:
    """Seconds of a `fit` process.

    Raises:
        RuntimeError: If its best checkpoint does not have the dev loss.
    """
    began = time.perf_counter()
    run_folder, folder = run("--config", str(ROOT / "configs" / config), "--data.path", str(path), cache=cache)
    seconds = time.perf_counter() - began
    with folder:
        content = checkpoint.load(checkpoint_of(run_folder, BEST))
    loss = content["callbacks"][checkpoint.BEST_CHECKPOINT]["best_model_score"]
    if target is not None and not loss <= target:
        raise RuntimeError(f"{config} has not reached {target}: val/loss {loss}")
    return seconds


def measure(path: Path = DATA, rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Seconds of each process, one figure per round."""
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as cache:
            row = {
                "lecture loop, 200,000 steps": lecture(path),
                "fit, cold compile cache": fit("mlp.yaml", path, cache),
                "fit, warm compile cache": fit("mlp.yaml", path, cache),
                "lecture loop to dev 2.17": lecture(path, str(TARGET)),
                "fit to dev 2.17": fit("mlp_fast.yaml", path, cache, TARGET),
            }
        for name, seconds in row.items():
            figures.setdefault(name, []).append(seconds)
    return figures


if __name__ == "__main__":
    for name, values in measure(*map(Path, sys.argv[1:])).items():
        print(f"{name:<30}{statistics.median(values):8.1f} s   ({min(values):.1f} to {max(values):.1f})")
