"""The processor that a benchmark runs on."""

from pathlib import Path

import torch


def has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 numbers; one that only emulates it takes longer than with float32."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def processor() -> str:
    """Name of the processor, and the vector instructions that torch uses."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return f"{name} with {torch.backends.cpu.get_cpu_capability()}{' and bfloat16' if has_bfloat16() else ''}"
