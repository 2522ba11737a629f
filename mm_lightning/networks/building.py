"""Build a network that fits in memory.

Linux grants more memory than there is, and kills the process that uses the memory. So the weights are counted while
they are made: each is registered before its first value is written.
"""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mm_lightning import UserError
from mm_lightning.networks.base import Network


class NetworkFactory(Protocol):
    """A function that makes a network; the command line makes one of a class and its settings."""

    def __call__(self, vocab_size: int, /, *, num_labels: int = 0) -> Network:
        """Make a network for a number of ids V and a number of labels L."""
        ...


class _Shared(partial[Network]):
    """A partial function that is itself its copy; its arguments may hold what cannot be copied, such as a lock."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Shared":
        return self


def shared(make_network: NetworkFactory) -> NetworkFactory:
    """The same factory, shared by all copies of its owner."""
    if not isinstance(make_network, partial):
        return make_network
    return _Shared(make_network.func, *make_network.args, **make_network.keywords)


def build(make_network: NetworkFactory, vocab_size: int, num_labels: int = 0) -> Network:
    """Build a network for a number of ids V and a number of labels L.

    Raises:
        UserError: If its weights and their gradients need more memory than the machine has, or the network cannot read
            labels.
    """
    available, needed = memory_bytes(), 0

    def add(_: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        nonlocal needed
        needed += 0 if weight is None else 2 * weight.nbytes
        if needed > available:
            raise _too_large(f"{needed / 2**30:,.0f} GiB or more")

    handle = register_module_parameter_registration_hook(add)
    try:
        return make_network(vocab_size, num_labels=num_labels) if num_labels else make_network(vocab_size)
    except TypeError as error:
        if "'num_labels'" not in str(error):
            raise
        raise UserError(
            "data.label is set, but the class of model.network has no argument num_labels, so it cannot read labels; "
            "leave data.label out or give the class that argument (docs/extending.md)"
        ) from None
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # of one tensor
            raise
        raise _too_large("more") from None
    finally:
        handle.remove()


def _too_large(memory: str) -> UserError:
    return UserError(
        f"model.network needs {memory} for its weights and their gradients, and this machine has "
        f"{memory_bytes() / 2**30:,.0f} GiB; make its sizes smaller"
    )


def memory_bytes() -> int:
    """Memory of the machine, or of the container on Linux."""
    result = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no container, or one without a limit ("max")
        result = min(result, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return result
