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

ROUNDS = 3
STEPS = 200_000
TARGET = 2.17  # dev loss that the lecture reports


def lecture(path: Path, *target: str) -> float:
    """Seconds of a process with the lecture's loop."""
    began = time.perf_counter()
    command = [sys.executable, str(ROOT / "benchmarks/lecture.py"), str(path), str(STEPS), *target]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    return time.perf_counter() - began


def fit(config: str, path: Path, cache: str) -> float:
    """Seconds of a `fit` process."""
    began = time.perf_counter()
    _, folder = run("--config", str(ROOT / "configs" / config), "--data.path", str(path), cache=cache)
    with folder:
        return time.perf_counter() - began


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
                "fit to dev 2.17": fit("mlp_fast.yaml", path, cache),
            }
        for name, seconds in row.items():
            figures.setdefault(name, []).append(seconds)
    return figures


if __name__ == "__main__":
    for name, values in measure(*map(Path, sys.argv[1:])).items():
        print(f"{name:<30}{statistics.median(values):8.1f} s   ({min(values):.1f} to {max(values):.1f})")
