"""The limit of a compiled step: the lecture's step written by hand in C++, against the compiled step, in turn.

uv run python benchmarks/limit.py

Both train the same network on the same batches, and their losses agree. Processor time, so that other work on the
machine counts little.
"""

import ctypes
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from mm_lightning.networks import MLP
from mm_lightning.training.block_steps.compiled_loop import CompiledSteps

ROUNDS, CALLS, K, BATCH_SIZE, RATE = 15, 20, 500, 32, 0.1


def by_hand(network: MLP, x: Tensor, y: Tensor, folder: str) -> Callable[[], Tensor]:
    """Compile the step by hand; returns a function of the losses of K steps from the network's weights."""
    library = Path(folder) / "limit.so"
    flags = ("-O3", "-march=native", "-ffast-math", "-std=c++17", "-shared", "-fPIC")
    source = Path(__file__).with_suffix(".cpp")
    subprocess.run([os.environ.get("CXX", "g++"), *flags, str(source), "-o", str(library)], check=True)
    train = ctypes.CDLL(str(library)).train
    weights = [value.detach().contiguous().clone() for value in network.parameters()]

    def run() -> Tensor:
        pointers = (ctypes.c_void_p * len(weights))(*(weight.data_ptr() for weight in weights))
        losses = torch.empty(K)
        places = [ctypes.c_void_p(part.data_ptr()) for part in (x, y, losses)]
        train(pointers, *places[:2], K, ctypes.c_float(RATE), places[2])
        return losses

    return run


def compiled(network: MLP, x: Tensor, y: Tensor) -> Callable[[], Tensor]:
    """Compile the step as `fit` does; returns a function of the losses of the next K steps."""
    steps = CompiledSteps(network, torch.optim.SGD(network.parameters(), lr=RATE), K, x, y)
    if not steps.load():
        steps.compile()
    return lambda: steps(x, y, [[RATE]] * K)


def seconds(run: Callable[[], Tensor]) -> float:
    """Processor time per step."""
    began = time.process_time()
    for _ in range(CALLS):
        run()
    return (time.process_time() - began) / CALLS / K


def main() -> None:
    """Print processor time per step of both."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = MLP(27)
    x, y = torch.randint(0, 27, (K, BATCH_SIZE, 3)), torch.randint(0, 27, (K, BATCH_SIZE))
    with tempfile.TemporaryDirectory() as folder:
        ways = {"by hand": by_hand(network, x, y, folder), "compiled": compiled(network, x, y)}
        torch.testing.assert_close(ways["by hand"](), ways["compiled"](), rtol=1e-3, atol=1e-3)
        figures: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, run in ways.items():
                figures[name].append(seconds(run))
    for name, values in figures.items():
        print(f"{name:<10}{statistics.median(values) * 1e6:8.1f} us a step   (lowest {min(values) * 1e6:.1f})")


if __name__ == "__main__":
    main()
