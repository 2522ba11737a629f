"""The machine that a benchmark runs on."""

import os
from pathlib import Path

import torch

from mm_lightning.networks.parts.bfloat16 import has_bfloat16


def machine() -> str:
    """The processor, its number of cores, and the version of torch."""
    return f"{processor()}, {os.cpu_count()} cores, torch {torch.__version__.partition('+')[0]}"


def processor() -> str:
    """Name of the processor, and the vector instructions that torch uses."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name} with {torch.backends.cpu.get_cpu_capability()}{' and bfloat16' if has_bfloat16() else ''}"
