"""The lecture's training loop for its MLP in plain PyTorch, as one process: the baseline of the other benchmarks.

uv run python benchmarks/lecture.py FILE STEPS [TARGET]

Training ends after STEPS steps, or earlier when the dev loss is at most TARGET.
"""

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

BLOCK_SIZE = 3
BATCH_SIZE = 32
EVAL_EVERY_N_STEPS = 5_000  # between two measurements of the dev loss


def build(names: list[str], ids: dict[str, int]) -> tuple[Tensor, Tensor]:
    """X (N, C) and Y (N,) of names, built one character at a time."""
    contexts, targets = [], []
    for name in names:
        context = [0] * BLOCK_SIZE
        for character in name + ".":
            contexts.append(context)
            targets.append(ids[character])
            context = [*context[1:], targets[-1]]
    return torch.tensor(contexts), torch.tensor(targets)


def character_ids(names: list[str]) -> dict[str, int]:
    """Ids of the characters that occur, and of the dot that ends a name."""
    return {character: i for i, character in enumerate(sorted(set("".join(names))), start=1)} | {".": 0}


def initial_parameters() -> tuple[list[Tensor], torch.Generator]:
    """The 11,897 weights, initialised as in the lecture: standard normal."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((27, 10), (30, 200), (200,), (200, 27), (27,))
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes], generator


def loss_of(parameters: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Mean NLL of a batch."""
    table, w1, b1, w2, b2 = parameters
    hidden = torch.tanh(table[x].view(-1, 30) @ w1 + b1)
    return F.cross_entropy(hidden @ w2 + b2, y)


def train(x: Tensor, y: Tensor, steps: int) -> Iterator[tuple[int, list[Tensor]]]:
    """Train; yield the number of each step and the weights after it."""
    parameters, generator = initial_parameters()
    losses = []
    for step in range(1, steps + 1):
        rows = torch.randint(0, len(x), (BATCH_SIZE,), generator=generator)
        loss = loss_of(parameters, x[rows], y[rows])
        for parameter in parameters:
            parameter.grad = None
        loss.backward()
        rate = 0.1 if step <= 100_000 else 0.01
        for parameter in parameters:
            assert parameter.grad is not None
            parameter.data -= rate * parameter.grad
        losses.append(loss.log10().item())
        yield step, parameters


def seconds_per_step(path: Path, steps: int, skipped: int = 500) -> float:
    """Seconds per step, without the first `skipped` steps."""
    names = path.read_text(encoding="utf-8").splitlines()
    x, y = build(names, character_ids(names))
    began = 0.0
    for step, _ in train(x, y, skipped + steps):
        if step == skipped:
            began = time.perf_counter()
    return (time.perf_counter() - began) / steps


def main(path: str, steps: int, target: float | None = None) -> None:
    """Split, build, train, and print the dev loss."""
    names = Path(path).read_text(encoding="utf-8").splitlines()
    ids = character_ids(names)
    random.Random(42).shuffle(names)
    first, second = int(0.8 * len(names)), int(0.9 * len(names))
    x, y = build(names[:first], ids)
    x_dev, y_dev = build(names[first:second], ids)
    for step, parameters in train(x, y, steps):
        if step == steps or (target is not None and step % EVAL_EVERY_N_STEPS == 0):
            with torch.no_grad():
                dev = loss_of(parameters, x_dev, y_dev).item()
            if step == steps or (target is not None and dev <= target):
                break
    print(f"step {step}: dev loss {dev:.4f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
