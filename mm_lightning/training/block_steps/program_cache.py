"""Compiled programs, kept from run to run.

A program is kept under a key: a hash of the traced graph and of all else that its machine code depends on. Tracing runs
the step's own code, so no setting, source file or function of a user's can be missing from the graph. The file's name
ends in the hash of its content. So a damaged file is found before it runs, and costs one line and a new compilation.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import torch
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor
from torch._inductor import aoti_compile_and_package, aoti_load_package, config
from torch._inductor.cpu_vec_isa import pick_vec_isa
from torch._inductor.runtime.cache_dir_utils import cache_dir
from torch.export import ExportedProgram
from torch.fx import GraphModule

from mm_lightning import UserError
from mm_lightning.files import make_folder, write_atomically

Program = Callable[..., Tensor]

_MAX_KEPT_MIB = 256
_SUFFIX = ".pt2"
_TRUST = {"cpp.vec_isa_ok": True}  # the processor has the instructions it says; trying them out takes 8 seconds
_OPTIONS: dict[str, Any] = {
    **_TRUST,
    "aot_inductor.enable_line_tables": False,  # they are for debuggers
    "aot_inductor.precompile_headers": False,  # they take 10 seconds, which two files do not earn back
}
_VARIABLES = ("AOT", "CC", "CPATH", "CPLUS", "CXX", "C_INC", "GCC", "LIBRARY", "OMP", "TORCH")  # first letters


def key_of(graph: GraphModule, arguments: Any) -> str | None:
    """The key of a program: a hash of all that it depends on; None if part of that is unknown.

    Args:
        graph: The traced step.
        arguments: Arguments of the program; only their shapes and types count.
    """
    processor = _processor()
    if processor is None:
        return None
    folder = Path(__file__).parent
    parts = [
        *(path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py"))),
        *_describe_graph(graph),
        _describe(arguments),
        *(f"{name}={value}" for name, value in sorted(os.environ.items()) if _is_for_compiler(name)),
        *(torch.__version__, str(torch.version.git_version), torch.backends.cpu.get_cpu_capability(), processor),
        *(repr(_OPTIONS), _compiler_settings(), *_compilers()),
        *(str(torch.get_num_threads()), torch.get_float32_matmul_precision()),
        str(torch.are_deterministic_algorithms_enabled()),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _is_for_compiler(name: str) -> bool:
    return name.startswith(_VARIABLES) and name != "TORCHINDUCTOR_CACHE_DIR"  # where files lie changes no code


def _compiler_settings() -> str:
    """The settings of torch's compiler, without those that say nothing about a program.

    In one of them AOTInductor describes its last program; others are folders, one of which depends on where a command
    is started.
    """
    settings = config.get_config_copy().items()
    is_left_out = ("aot_inductor.metadata", "cutlass_dir")
    return repr(sorted((name, value) for name, value in settings if not name.endswith(is_left_out)))


def _describe(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)} {value.stride()} {value.device}"
    if isinstance(value, tuple | list):
        return f"{type(value)} {[_describe(part) for part in value]}"
    return repr(value)


def _describe_graph(graph: GraphModule) -> Iterator[str]:
    """Operations of a graph with arguments, shapes and constants, and of the graphs within it."""
    for node in graph.graph.nodes:
        yield f"{node.op} {node.name} {node.target} {node.args} {node.kwargs} {_describe(node.meta.get('val'))}"
        if node.op == "get_attr":
            value = attrgetter(node.target)(graph)
            if isinstance(value, GraphModule):
                yield from _describe_graph(value)
            else:
                content = value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
                yield f"{_describe(value)} {hashlib.sha256(content).hexdigest()}"


def _processor() -> str | None:
    """Model and instructions of the processor, which code is compiled for; None if unknown."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        lines = text.partition("\n\n")[0].splitlines()  # of the first core
        return "\n".join(line for line in lines if not line.startswith(("cpu MHz", "bogomips", "processor")))
    with suppress(OSError, subprocess.CalledProcessError):
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return platform.machine() + subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return None


def _compilers() -> Iterator[str]:
    """Paths and versions of the compilers that torch chooses from."""
    for name in (os.environ.get("CXX", "g++"), "clang++"):
        if path := shutil.which(name):
            done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
            yield f"{path} {done.stdout}"


def load(key: str | None) -> Program | None:
    """The kept program of a key; None if there is none. A file that cannot be used is deleted, and a line says why."""
    for path in sorted(_folder().glob(f"{key}-*{_SUFFIX}")) if key else []:
        reason = "is damaged"
        try:
            if path.stem == f"{key}-{_digest(path)}":
                program = _open(path)
                path.touch()  # the newest are kept
                return program
        except FileNotFoundError:  # another process has just deleted it
            continue
        except Exception as error:  # torch's loader fails in too many ways to name
            reason = f"cannot be loaded ({(str(error).strip() or type(error).__name__).splitlines()[0]})"
        rank_zero_info(f"{path} {reason}; the step is compiled again")
        with suppress(OSError):
            path.unlink()
    return None


def compile_program(exported: ExportedProgram, key: str | None) -> Program:
    """Compile a program, and keep it under its key.

    Raises:
        Exception: An error of torch's compiler.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(1) as pool:
        pool.submit(_choose_instructions)
        path = Path(folder) / f"program{_SUFFIX}"
        aoti_compile_and_package(exported, package_path=str(path), inductor_configs=_OPTIONS)
        if key is not None:
            _keep(path, key)
        return _open(path)


def _choose_instructions() -> None:
    """Let torch choose the instructions to compile for, which waits for its compiler, on a second core."""
    with config.patch(_TRUST):
        pick_vec_isa()


def _open(path: Path) -> Program:
    with config.patch(_TRUST):  # a program of other instructions is not loaded
        return aoti_load_package(str(path), run_single_threaded=True)


def _folder() -> Path:
    return Path(cache_dir()) / "mm_lightning"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:32]


def _keep(path: Path, key: str) -> None:
    """Copy a program into the folder, and delete the programs that were not used for the longest time."""
    folder = _folder()
    try:
        make_folder(folder)
        with write_atomically(folder / f"{key}-{_digest(path)}{_SUFFIX}", "a compiled step") as file:
            file.write(path.read_bytes())
        size = 0
        for kept in sorted(folder.glob(f"*{_SUFFIX}"), key=lambda kept: kept.stat().st_mtime, reverse=True):
            size += kept.stat().st_size
            if size > _MAX_KEPT_MIB << 20:
                kept.unlink(missing_ok=True)
    except (OSError, UserError) as error:  # a full disk, or another process that writes or deletes the same file
        rank_zero_info(f"the compiled step is not kept for later runs: {error}")
