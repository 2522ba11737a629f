"""Time of short commands as whole processes, in turn with the import of Lightning's command line or of torch.

uv run python benchmarks/startup.py
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LIGHTNING = ("-c", "import lightning.pytorch.cli")
TORCH = ("-c", "import torch")
COMMANDS = ("--help", "fit --help", "predict --help", "report")
MODEL = "--ckpt_path data/names.ckpt"
FIRST_NAME = {  # commands that need no Lightning, or end before its import
    "20 names": f"predict {MODEL}",
    "20 new names with columns": f"predict {MODEL} --sampling.only_new true --sampling.output {{folder}}/names.csv",
    "score of a name": f"score {MODEL} emma",
    "unknown label": f"score {MODEL} emma --label F",
}
ERRORS = {  # in arguments
    "value of an option": f"predict {MODEL} --sampling.temperature -1",
    "misspelled option": f"predict {MODEL} --sampling.num_samplez 3",
    "no such checkpoint": "validate --ckpt_path nosuch.ckpt",
    "no config": "fit",
    "option of another command": "report --sampling.suffix lyn",
    "misspelled option of the Trainer": "fit --config configs/mlp.yaml --trainer.max_stepz 3",
    "value of an option of the Trainer": "fit --config configs/mlp.yaml --trainer.max_steps three",
    "misspelled option of the network": "fit --config configs/mlp.yaml --model.network.hiden_dim 3",
    "misspelled setting in a config file": "fit --config {folder}/misspelled.yaml",
    "no such list": "fit --config configs/mlp.yaml --data.path nosuch.txt",
    "no such run": "compare nosuch.ckpt last",
}
ROUNDS = 5


class Seconds(NamedTuple):
    """Time of a process."""

    wall: float
    processor: float


def seconds(*args: str) -> Seconds:
    """Time of the interpreter with these arguments, on one thread; a command may end with an error of one line."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, *args], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=stderr
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        stderr.seek(0)
        if process.returncode and not stderr.read().splitlines()[-1].startswith(b"error: "):
            raise subprocess.CalledProcessError(process.returncode, args)
    return Seconds(wall, usage.ru_utime + usage.ru_stime)


def measure(command: str = "--help", rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds of both, and the median ratio of a round; a first round fills caches and is not counted."""
    pairs = [(seconds("-m", "mm_lightning", *command.split()), seconds(*LIGHTNING)) for _ in range(rounds + 1)][1:]
    ours, theirs = zip(*[(a.wall, b.wall) for a, b in pairs], strict=True)
    return {
        "seconds": statistics.median(ours),
        "import_seconds": statistics.median(theirs),
        "ratio": statistics.median(a / b for a, b in zip(ours, theirs, strict=True)),
    }


def measure_first_name(rounds: int = ROUNDS) -> dict[str, dict[str, list[float]]]:
    """Seconds of each command and of the import of torch after it, wall and processor, one figure per round."""
    figures: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        config = (ROOT / "configs/mlp.yaml").read_text(encoding="utf-8").replace("max_steps", "max_stepz")
        (Path(folder) / "misspelled.yaml").write_text(config, encoding="utf-8")
        for _ in range(rounds + 1):
            for name, command in (FIRST_NAME | ERRORS).items():
                ours = seconds("-m", "mm_lightning", *command.format(folder=folder).split())
                row = figures.setdefault(name, {})
                for whose, took in (("ours", ours), ("torch", seconds(*TORCH))):
                    for kind, value in took._asdict().items():
                        row.setdefault(f"{whose} {kind}", []).append(value)
    return {name: {key: values[1:] for key, values in row.items()} for name, row in figures.items()}


if __name__ == "__main__":
    for name, row in measure_first_name().items():
        middle = {key: statistics.median(values) for key, values in row.items()}
        ratio = statistics.median(a / b for a, b in zip(row["ours processor"], row["torch processor"], strict=True))
        times = ", ".join(f"{key} {value:.2f}" for key, value in middle.items())
        print(f"{name:<34} {ratio:.2f} x import torch in processor time; {times}")
    for name in COMMANDS:
        result = measure(name)
        print(name.ljust(16), ", ".join(f"{key} {value:.2f}" for key, value in result.items()))
