"""Time of a step by batch size, width and K; time of the data by number of lines; peak rate of the machine.

The peak is the highest rate of a large square matrix product on one thread. A step takes six operations per matrix
weight and example: a multiplication and an addition in the forward pass, twice as many in the backward pass.
"""

import time

import torch
from step import DATA, ROOT, fit_seconds_per_step

from data import measure_lines

CONFIG = ("--config", str(ROOT / "configs/mlp.yaml"), "--data.path", str(DATA))
BATCHES = (32, 128, 512, 2048)
WIDTHS = (100, 200, 400, 800)
STEPS_PER_EXECUTION = (1, 2, 5, 20, 100, 500)
LINES = (1_000, 100_000, 1_000_000, 10_000_000)


def peak(size: int = 1024, rounds: int = 10) -> float:
    """Operations per second of a product of two square matrices, the highest of `rounds`."""
    a, b = torch.randn(size, size), torch.randn(size, size)
    highest = 0.0
    for _ in range(rounds):
        began = time.perf_counter()
        a @ b
        highest = max(highest, 2 * size**3 / (time.perf_counter() - began))
    return highest


def operations(batch_size: int, hidden_dim: int) -> int:
    """Operations of one step of the MLP with context 3, embedding 10 and 27 ids."""
    return 6 * batch_size * hidden_dim * (3 * 10 + 27)


def compiled(steps: int, *options: str) -> float:
    """Seconds per compiled step."""
    return fit_seconds_per_step(*CONFIG, "--trainer.compile", "true", "--trainer.max_steps", str(steps), *options)


def measure() -> dict[str, dict[int, float]]:
    """Seconds per step for each size, one run each."""
    return {
        "batch": {n: compiled(max(4_000, 640_000 // n), "--data.batch_size", str(n)) for n in BATCHES},
        "width": {n: compiled(20_000, "--model.network.hidden_dim", str(n)) for n in WIDTHS},
        "steps_per_execution, compiled": {
            n: compiled(20_000, "--trainer.steps_per_execution", str(n)) for n in STEPS_PER_EXECUTION if n > 1
        },
        "steps_per_execution, not compiled": {
            n: fit_seconds_per_step(
                *CONFIG,
                *("--trainer.compile", "false") if n > 1 else (),
                "--trainer.max_steps",
                "6000",
                "--trainer.steps_per_execution",
                str(n),
            )
            for n in STEPS_PER_EXECUTION
        },
    }


def measure_data() -> dict[int, dict[str, float]]:
    """Seconds and peak memory before the first step, for each number of lines."""
    return {count: measure_lines(count) for count in LINES}


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(f"matrix product: {peak() / 1e9:.0f} billion operations per second")
    for name, figures in measure().items():
        for size, seconds in figures.items():
            print(f"{name} {size}: {seconds * 1e6:.0f} us a step")
    for count, row in measure_data().items():
        print(f"{count:,} lines: {row['seconds']:.1f} s, {row['mib']:.0f} MiB")
