"""A stand-in for a Mac: a device with the limits of MPS, which Lightning takes for its accelerator `mps`."""

import subprocess
from pathlib import Path

import torch
import torchgen
import yaml
from torch.utils import backend_registration
from torch.utils.cpp_extension import include_paths, library_paths

SOURCE = Path(__file__).with_name("mac_device.cpp")
OPERATORS = Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml"
DEVICE = "mac"


def build(library: Path) -> None:
    """Compile the device, which takes some 20 seconds."""
    paths = [*(f"-I{path}" for path in include_paths()), *(f"-L{path}" for path in library_paths())]
    command = ["g++", "-shared", "-fPIC", "-std=c++20", "-O0", SOURCE, "-o", library, *paths, "-lc10", "-ltorch_cpu"]
    subprocess.run(command, check=True)


def operators_without_mps() -> list[str]:
    """Operators that have kernels of their own for devices, but none for MPS, by torch's own list."""
    declared = yaml.load(OPERATORS.read_text(encoding="utf-8"), yaml.CSafeLoader)
    functions = {function["func"].partition("(")[0]: function for function in declared}

    def keys(name: str) -> set[str]:
        function = functions[name]
        if delegate := function.get("structured_delegate"):
            return keys(delegate)
        return {key.strip() for group in function.get("dispatch", {}) for key in group.split(",")}

    def has_mps(name: str) -> bool:
        return not keys(name) or any(key == "MPS" or "Composite" in key for key in keys(name))

    return [f"aten::{name}" for name in functions if not has_mps(name)]


class _Module(backend_registration._DummyBackendModule):
    """What torch asks of the Python module of a device."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.float16, torch.bfloat16]


class Mac:
    """A function to call in a process before a command: its machine then seems to be a Mac.

    Args:
        library: The compiled device.
    """

    def __init__(self, library: Path) -> None:
        self._library = library

    def __call__(self) -> None:
        from lightning.pytorch.accelerators import MPSAccelerator  # noqa: PLC0415 # in the child

        torch.ops.load_library(self._library)
        torch.ops.mac.refuse(operators_without_mps())
        torch.utils.rename_privateuse1_backend(DEVICE)
        torch._register_device_module(DEVICE, _Module())
        torch._C._acc.register_python_privateuseone_hook(backend_registration._DummyPrivateUse1Hook())
        device = torch.device(DEVICE, 0)
        MPSAccelerator.is_available = staticmethod(lambda: True)
        MPSAccelerator.parse_devices = staticmethod(lambda devices: [0])
        MPSAccelerator.get_parallel_devices = staticmethod(lambda devices: [device])
        MPSAccelerator.setup_device = lambda self, device: None
