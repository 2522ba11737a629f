"""Time of short commands as whole processes, against the import of Lightning's command line, in turn."""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
YARDSTICK = ("-c", "import lightning.pytorch.cli")
COMMANDS = ("--help", "fit --help", "predict --help", "report")
ROUNDS = 5


def seconds(*args: str) -> float:
    """Wall time in seconds of the interpreter with these arguments, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    subprocess.run([sys.executable, *args], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def measure(command: str = "--help", rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of both, and the median ratio of a round; a first round fills caches and is not counted."""
    pairs = [(seconds("-m", "mm_lightning", *command.split()), seconds(*YARDSTICK)) for _ in range(rounds + 1)][1:]
    ours, theirs = zip(*pairs, strict=True)
    return {
        "seconds": statistics.median(ours),
        "import_seconds": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in pairs),
    }


if __name__ == "__main__":
    for name in COMMANDS:
        result = measure(name)
        print(name.ljust(16), ", ".join(f"{key} {value:.2f}" for key, value in result.items()))
