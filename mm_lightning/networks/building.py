"""Build a network that fits in memory.

Linux grants more memory than there is, and kills the process that uses the memory. So the weights are counted while
they are made: each is registered before its first value is written.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mm_lightning import UserError
from mm_lightning.networks.base import Network


def build(make_network: Callable[[int], Network], vocab_size: int) -> Network:
    """Build a network for a number of ids V.

    Raises:
        UserError: If its weights and their gradients need more memory than the machine has.
    """
    available, needed = _memory_bytes(), 0

    def add(_: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        nonlocal needed
        needed += 0 if weight is None else 2 * weight.nbytes
        if needed > available:
            raise _too_large(f"{needed / 2**30:,.0f} GiB or more")

    handle = register_module_parameter_registration_hook(add)
    try:
        return make_network(vocab_size)
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # of one tensor
            raise
        raise _too_large("more") from None
    finally:
        handle.remove()


def _too_large(memory: str) -> UserError:
    return UserError(
        f"model.network needs {memory} for its weights and their gradients, and this machine has "
        f"{_memory_bytes() / 2**30:,.0f} GiB; make its sizes smaller"
    )


def _memory_bytes() -> int:
    """Memory of the machine, or of the container on Linux."""
    result = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        result = min(result, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return result
