"""Speed on a GPU: steps of the lecture's recipe against the CPU, and characters per second as batches grow.

    uv run python benchmarks/gpu.py [ACCELERATOR]

ACCELERATOR is Lightning's name of the device, gpu by default; cpu tests this script on a machine without a GPU.
"""

import sys

from step import DATA, ROOT, fit_seconds_per_step

RECIPE = ("--config", str(ROOT / "configs/mlp.yaml"), "--data.path", str(DATA))
NETWORKS = {  # batch sizes, and targets per row of a batch: 1 of a window, 7 of a mean name with its boundary
    "mlp_best": ((1_024, 8_192, 65_536), 1),
    "transformer": ((128, 1_024, 8_192), 7),
}
STEPS = 600


def steps(accelerator: str) -> dict[str, float]:
    """Seconds per step of the recipe: on the CPU in compiled blocks, on the device in single steps and in blocks."""
    ways = {
        "cpu, compiled": ("cpu", "100", "true", "60000"),
        f"{accelerator}, single": (accelerator, "1", "false", "4000"),
        f"{accelerator}, blocks": (accelerator, "100", "false", "10000"),
    }
    return {
        name: fit_seconds_per_step(
            *(*RECIPE, "--trainer.accelerator", device, "--trainer.steps_per_execution", count),
            *("--trainer.compile", compiled, "--trainer.max_steps", limit),
        )
        for name, (device, count, compiled, limit) in ways.items()
    }


def rates(accelerator: str) -> dict[str, float]:
    """Characters trained on per second, for each network and batch size, in mixed precision."""
    figures = {}
    for name, (sizes, targets) in NETWORKS.items():
        for size in sizes:
            seconds = fit_seconds_per_step(
                *("--config", str(ROOT / f"configs/{name}.yaml"), "--data.path", str(DATA)),
                *("--data.batch_size", str(size), "--trainer.accelerator", accelerator),
                *("--trainer.precision", "bf16-mixed", "--trainer.steps_per_execution", "20"),
                *("--trainer.max_steps", str(STEPS), "--trainer.log_every_n_steps", "20"),
            )
            figures[f"{name}, batch {size:,}"] = size * targets / seconds
    return figures


if __name__ == "__main__":
    accelerator = sys.argv[1] if len(sys.argv) > 1 else "gpu"
    for name, seconds in steps(accelerator).items():
        print(f"{name:<32}{seconds * 1e6:12,.0f} us a step")
    for name, rate in rates(accelerator).items():
        print(f"{name:<32}{rate:12,.0f} characters a second")
