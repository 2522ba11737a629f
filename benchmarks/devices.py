"""`fit` in one process and in two: time and val/loss of the README's recipe.

uv run python benchmarks/devices.py
"""

import os
import time
from typing import Any

import torch
from step import ROOT, run

WAYS = {
    "1 process, batch of 32": ("--trainer.devices", "1"),
    "2 processes, batch of 32 each": ("--trainer.devices", "2"),
    "2 processes, batch of 16 each": ("--trainer.devices", "2", "--data.batch_size", "16"),
}


def measure() -> dict[str, Any]:
    """Seconds of a whole process and its lowest val/loss, each way; the load at the end."""
    figures: dict[str, Any] = {}
    for name, options in WAYS.items():
        began = time.perf_counter()
        config = ("--config", str(ROOT / "configs/mlp.yaml"), "--trainer.accelerator", "cpu")
        path, folder = run(*config, *options)
        with folder:
            seconds = time.perf_counter() - began
            best = torch.load(path / "checkpoints/best.ckpt", weights_only=True)["callbacks"]["best_checkpoint"]
        figures[name] = {"seconds": seconds, "val_loss": float(best["best_model_score"])}
        print(f"{name}: {seconds:.0f} s, val/loss {figures[name]['val_loss']:.4f}", flush=True)
    figures["load"] = os.getloadavg()[2]  # mean of 15 minutes
    return figures


if __name__ == "__main__":
    print(measure())
