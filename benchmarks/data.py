"""Time to build X and Y, the lecture's Python loop against ours, in turn; time and memory to load a long file.

uv run python benchmarks/data.py [LINES ...]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from lecture import BLOCK_SIZE, build, character_ids

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.files.reading import MAX_LENGTH, read_items
from mm_lightning.data.vocabulary import Vocabulary

ROOT = Path(__file__).parents[1]
DATA = ROOT / "data/names.txt"
ROUNDS = 7
LINES_PER_CHUNK = 50_000  # made-up lines written at once


def lecture(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """X and Y of all lines, built one character at a time."""
    names = path.read_text(encoding="utf-8").splitlines()
    return build(names, character_ids(names))


def ours(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """X and Y of all lines, as one batch of all windows."""
    names = read_items(path)
    windows = Windows(encode(names, Vocabulary(names.alphabet())), BLOCK_SIZE)
    return windows.gather(torch.arange(len(windows)))


def measure(rounds: int = ROUNDS, path: Path = DATA) -> dict[str, float]:
    """Median seconds from the file to the tensors, each way, and the median ratio of a round; the tensors are equal."""
    pairs = []
    for _ in range(rounds + 1):  # the first round fills caches and is not counted
        times, results = [], []
        for make in (lecture, ours):
            began = time.perf_counter()
            results.append(make(path))
            times.append(time.perf_counter() - began)
        assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
        pairs.append(times)
    loop, vectorised = zip(*pairs[1:], strict=True)
    return {
        "loop_seconds": statistics.median(loop),
        "seconds": statistics.median(vectorised),
        "ratio": statistics.median(a / b for a, b in pairs[1:]),
    }


def make_lines(count: int, path: Path) -> None:
    """Write made-up names, their characters sampled from the bigram counts of the shipped names."""
    names = read_items(DATA)
    ids = encode(names, Vocabulary(names.alphabet())).stream.numpy()
    letters = np.array([ord("\n"), *map(ord, names.alphabet())], np.uint8)
    pairs = np.zeros((len(letters), len(letters)))
    np.add.at(pairs, (np.roll(ids, 1), ids), 1)
    pairs[0, 0] = 0
    rising = (pairs / pairs.sum(1, keepdims=True)).cumsum(1)
    generator = np.random.default_rng(0)
    with path.open("wb") as file:
        for first in range(0, count, LINES_PER_CHUNK):
            columns = [np.zeros(min(LINES_PER_CHUNK, count - first), np.int64)]
            ended = np.zeros(len(columns[0]), bool)
            while not ended.all() and len(columns) < MAX_LENGTH:
                following = (generator.random(len(ended))[:, None] > rising[columns[-1]]).sum(1)
                columns.append(np.where(ended, -1, following.clip(max=len(letters) - 1)))
                ended |= columns[-1] <= 0
                columns[-1][columns[-1] < 0] = 0
            lines = np.stack(columns[1:], 1)  # (lines, longest): ids, then zeros
            used = np.arange(lines.shape[1]) <= (lines != 0).sum(1, keepdims=True)
            file.write(letters[lines[used]].tobytes())


def measure_lines(count: int) -> dict[str, float]:
    """Measure a process that reads `count` lines: seconds from start to first batch, and peak memory in MiB.

    `import_seconds` and `import_mib` are the parts that the import of Lightning takes.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.txt"
        make_lines(count, path)
        code = f"import time; began = time.perf_counter(); import data; data.first_batch({str(path)!r}, began)"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'benchmarks'}{os.pathsep}{ROOT}"}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
        result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def first_batch(path: str, began: float) -> None:
    """Prepare the data as `fit` does before its first step, the batches of dev included, and print the figures."""
    import lightning.pytorch as pl  # noqa: PLC0415 # timed

    from mm_lightning.data.datamodule import ItemsDataModule  # noqa: PLC0415 # timed

    imported = {"import_seconds": time.perf_counter() - began, "import_mib": peak_mib()}
    datamodule = ItemsDataModule(path, block_size=BLOCK_SIZE)
    datamodule.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    datamodule.setup("fit")
    batches = datamodule.train_dataloader()
    next(iter(batches))
    scored = datamodule.val_dataloader()
    assert len(batches)
    assert len(scored)
    print(json.dumps({"seconds": time.perf_counter() - began, "mib": peak_mib(), **imported}))


def peak_mib() -> float:
    """Peak memory of this process in MiB, as Linux counts it; getrusage would include the parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, value in measure().items():
        print(f"{name:<14} {value:10.4f}")
    for argument in sys.argv[1:]:
        figures = measure_lines(int(argument))
        print(f"{argument} lines: " + ", ".join(f"{name} {value:.1f}" for name, value in figures.items()))
