"""Time per optimiser step: the lecture's plain loop against `fit` with everything on, in turn."""

import contextlib
import io
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from mm_lightning import words
from mm_lightning.cli import main
from mm_lightning.encoding import Windows, encode
from mm_lightning.vocabulary import Vocabulary

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data/names.txt"
ROUNDS = 5
STEPS = 5000  # timed per round
START = 500  # left out: what happens once per run


def lecture_loop(x: torch.Tensor, y: torch.Tensor) -> float:
    """Seconds per step of the loop that the lecture ends with."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((27, 10), (30, 200), (200,), (200, 27), (27,))
    parameters = [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]
    table, w1, b1, w2, b2 = parameters
    losses = []
    for step in range(START + STEPS):
        if step == START:
            began = time.perf_counter()
        rows = torch.randint(0, len(x), (32,), generator=generator)
        hidden = torch.tanh(table[x[rows]].view(-1, 30) @ w1 + b1)
        loss = F.cross_entropy(hidden @ w2 + b2, y[rows])
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        for parameter in parameters:
            parameter.data -= 0.1 * parameter.grad
        losses.append(loss.log10().item())
    return (time.perf_counter() - began) / STEPS


def fit(steps: int) -> float:
    """Seconds of a whole fit, in a folder that is removed."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        began = time.perf_counter()
        options = ("--data.path", str(DATA), "--trainer.default_root_dir", folder, "--trainer.max_steps", str(steps))
        main(["fit", "--config", str(ROOT / "configs/mlp.yaml"), *options])
        return time.perf_counter() - began


if __name__ == "__main__":
    os.chdir(ROOT)
    torch.set_num_threads(1)
    train = words.split(words.read(DATA), "lecture", str(DATA)).train
    windows = Windows(encode(train, Vocabulary(train.alphabet())), 3)
    x, y = windows.gather(torch.arange(len(windows)))
    ratios, ours, theirs = [], [], []
    for _ in range(ROUNDS):
        theirs.append(lecture_loop(x, y))
        ours.append((fit(START + STEPS) - fit(START)) / STEPS)
        ratios.append(ours[-1] / theirs[-1])
    for name, values in (("lecture loop, us", theirs), ("fit, us", ours)):
        print(f"{name:<18} {statistics.median(values) * 1e6:8.0f}")
    print(f"{'ratio':<18} {statistics.median(ratios):8.2f}   ({min(ratios):.2f} to {max(ratios):.2f})")
