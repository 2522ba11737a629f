"""Names sampled per second: the lecture's loop, one character at a time, against `sample`, in turn.

The weights come from a short `fit` of configs/mlp.yaml. The lecture's loop runs twice: as in the lecture, where
autograd records every operation, and under `no_grad`.
"""

import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional as F

from mm_lightning.cli.application import main
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.sampler import sample
from mm_lightning.training.module import LanguageModel

ROOT = Path(__file__).parents[1]
ROUNDS = 3
STEPS = 10_000  # of the fit, enough that samples have about the length of names
LOOP_COUNT = 500  # names per round of the loop
COUNTS = (10_000, 100_000, 1_000_000)  # names per round of `sample`


def fit() -> LanguageModel:
    """The model to sample from, trained in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        options = ("--data.path", str(ROOT / "data/names.txt"), "--trainer.default_root_dir", folder)
        flags = ("--trainer.max_steps", str(STEPS), "--trainer.enable_progress_bar", "false")
        main(["fit", "--config", str(ROOT / "configs/mlp.yaml"), *options, *flags])
        checkpoint = Path(folder) / "lightning_logs/version_0/checkpoints/best.ckpt"
        return LanguageModel.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).eval()


def lecture_loop(model: LanguageModel, count: int) -> list[str]:
    """Sample names one by one, each character by a forward pass of one window."""
    weights = model.network.state_dict(keep_vars=True)
    table = weights["embedding.weight"]
    w1, b1 = weights["hidden.0.weight"].t(), weights["hidden.0.bias"]
    w2, b2 = weights["output.weight"].t(), weights["output.bias"]
    generator = torch.Generator().manual_seed(1)
    names = []
    for _ in range(count):
        name, window = "", [0, 0, 0]
        while True:
            hidden = torch.tanh(table[torch.tensor([window])].view(1, -1) @ w1 + b1)
            probabilities = F.softmax(hidden @ w2 + b2, dim=1)
            following = int(torch.multinomial(probabilities, 1, generator=generator).item())
            if following == 0:
                break
            name += model.vocabulary.alphabet[following - 1]
            window = [*window[1:], following]
        names.append(name)
    return names


def sample_items(model: LanguageModel, count: int) -> list[str]:
    """Sample names by `sample`, in batches."""
    return sample(
        model.network, model.vocabulary, SamplingOptions(num_samples=count), lambda words: [True] * len(words)
    )


def rate(work: Callable[[LanguageModel, int], list[str]], model: LanguageModel, count: int) -> float:
    """Names per second."""
    began = time.perf_counter()
    names = work(model, count)
    assert len(names) == count
    return count / (time.perf_counter() - began)


def measure(rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Names per second, each way, one figure per round."""
    model = fit()
    figures: dict[str, list[float]] = {}
    for _ in range(rounds):
        figures.setdefault("lecture loop", []).append(rate(lecture_loop, model, LOOP_COUNT))
        with torch.no_grad():
            figures.setdefault("lecture loop, no_grad", []).append(rate(lecture_loop, model, LOOP_COUNT))
        for count in COUNTS:
            figures.setdefault(f"sample {count:,}", []).append(rate(sample_items, model, count))
    return figures


if __name__ == "__main__":
    torch.set_num_threads(1)
    figures = measure()
    lecture = figures["lecture loop"]
    for name, values in figures.items():
        ratios = [ours / theirs for ours, theirs in zip(values, lecture, strict=True)]
        spread = f"({min(ratios):.1f} to {max(ratios):.1f})"
        print(f"{name:<20}{statistics.median(values):10,.0f} names/s {statistics.median(ratios):8.1f} x   {spread}")
