"""The lecture's own way to its MLP in plain PyTorch, as one process: the baseline of the other benchmarks.

uv run python benchmarks/lecture.py FILE STEPS [TARGET]

It ends after so many steps, or when the dev loss, looked at every 5,000 steps, is no more than TARGET.
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
LOOK = 5_000  # steps between two looks at the dev loss


def build(names: list[str], number: dict[str, int]) -> tuple[Tensor, Tensor]:
    """X and Y of names, a character at a time."""
    contexts, targets = [], []
    for name in names:
        context = [0] * BLOCK_SIZE
        for character in name + ".":
            contexts.append(context)
            targets.append(number[character])
            context = [*context[1:], targets[-1]]
    return torch.tensor(contexts), torch.tensor(targets)


def numbers(names: list[str]) -> dict[str, int]:
    """Numbers of the characters that occur, and of the dot that ends a name."""
    return {character: i for i, character in enumerate(sorted(set("".join(names))), start=1)} | {".": 0}


def start() -> tuple[list[Tensor], torch.Generator]:
    """The 11,897 weights as the lecture starts them: standard normal."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((27, 10), (30, 200), (200,), (200, 27), (27,))
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes], generator


def loss_of(parameters: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """Mean NLL of a batch."""
    table, w1, b1, w2, b2 = parameters
    hidden = torch.tanh(table[x].view(-1, 30) @ w1 + b1)
    return F.cross_entropy(hidden @ w2 + b2, y)


def train(x: Tensor, y: Tensor, steps: int) -> Iterator[tuple[int, list[Tensor]]]:
    """Take the steps; after each, its number and the weights."""
    parameters, generator = start()
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
    """Time per step once a run is under way."""
    names = path.read_text(encoding="utf-8").splitlines()
    x, y = build(names, numbers(names))
    began = 0.0
    for step, _ in train(x, y, skipped + steps):
        if step == skipped:
            began = time.perf_counter()
    return (time.perf_counter() - began) / steps


def main(path: str, steps: int, target: float | None = None) -> None:
    """Split, build, train, and print the losses."""
    names = Path(path).read_text(encoding="utf-8").splitlines()
    number = numbers(names)
    random.Random(42).shuffle(names)
    first, second = int(0.8 * len(names)), int(0.9 * len(names))
    x, y = build(names[:first], number)
    x_dev, y_dev = build(names[first:second], number)
    for step, parameters in train(x, y, steps):
        if step == steps or (target is not None and step % LOOK == 0):
            with torch.no_grad():
                dev = loss_of(parameters, x_dev, y_dev).item()
            if step == steps or (target is not None and dev <= target):
                break
    print(f"step {step}: dev loss {dev:.4f}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
