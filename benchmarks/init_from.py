"""Lowest dev loss on short lists, from fresh weights and from the weights of a checkpoint: `fit --init_from`.

    python benchmarks/init_from.py CHECKPOINT LIST... [--steps N] [--splits N]

Each split shuffles the list anew. Both runs of a split have the same items, steps, schedule and seed.
"""

import argparse
import math
import random
import statistics
import tempfile
from pathlib import Path
from typing import Any

from mm_lightning.commands import fit
from mm_lightning.sweep.trials import train
from mm_lightning.training import checkpoint
from mm_lightning.training.stop_signals import StopSignals

_RATES = (0.003, 0.01)  # the better one counts, for each list and start


def settings(network: dict[str, Any], path: Path, steps: int, rate: float, seed: int) -> dict[str, Any]:
    """Settings of a fit on a short list."""
    schedule = {"max_lr": rate, "pct_start": 0.2}
    return {
        "seed_everything": seed,
        "model": {
            "network": network,
            "optimizer": {"class_path": "torch.optim.AdamW"},
            "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": schedule},
        },
        "data": {"path": str(path), "batch_size": 64, "split": "unique"},
        "trainer": {"max_steps": steps, "steps_per_execution": 100, "accelerator": "cpu"},
    }


def lowest_loss(arguments: dict[str, Any], start: checkpoint.Checkpoint | None) -> float:
    """Lowest val/loss of a run, with a validation after each epoch."""
    prepare = fit.prepare

    def prepare_and_begin(trainer, model, datamodule, resumed=None):  # type: ignore[no-untyped-def]
        prepare(trainer, model, datamodule, resumed)
        if start is not None:
            fit.begin_from(model, start)

    fit.prepare = prepare_and_begin
    try:
        return train(arguments, lambda step, loss: None, StopSignals())
    finally:
        fit.prepare = prepare


def main() -> None:
    """Print a row for each list."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("lists", type=Path, nargs="+")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--splits", type=int, default=4)
    options = parser.parse_args()
    start = checkpoint.read(options.checkpoint)
    print("| list | items | fresh | begun from it | difference |\n|---|---|---|---|---|")
    for path in options.lists:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        losses: dict[tuple[bool, float], list[float]] = {}
        for seed in range(options.splits):
            random.Random(seed).shuffle(lines)
            with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
                file.write("\n".join(lines))
                file.flush()
                for is_begun in (False, True):
                    for rate in _RATES:
                        arguments = settings(start.model["network"], Path(file.name), options.steps, rate, seed)
                        loss = lowest_loss(arguments, start if is_begun else None)
                        losses.setdefault((is_begun, rate), []).append(loss)
        fresh, begun = (
            min((losses[is_begun, rate] for rate in _RATES), key=statistics.mean) for is_begun in (False, True)
        )
        differences = [b - a for a, b in zip(fresh, begun, strict=True)]
        error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else math.nan
        print(
            f"| {path.stem} | {len(lines)} | {statistics.mean(fresh):.3f} | {statistics.mean(begun):.3f} "
            f"| {statistics.mean(differences):.3f} ± {error:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
