"""The device where the options leave the choice: the one that is fastest for the network.

Lightning takes every GPU it finds. A GPU needs some milliseconds to be told of the operations of a step, in which a
CPU has long finished the step of a small network.
"""

import os
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning import UserError
from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.commands.parts.one_process import go_on_alone, tell_alone
from mm_lightning.networks.base import Network

_GPU_STEP_MULTIPLY_ADDS = 100_000_000  # some 2 ms of a CPU core; an estimate
_TARGETS_PER_ITEM = 8  # of names


class StepShape(Protocol):
    """The settings of data that decide on the size of a step."""

    @property
    def batch_size(self) -> int | None:
        """Examples of a step; None for all."""
        ...

    @property
    def block_size(self) -> int | None:
        """Context of a window network; None where the network reads whole items."""
        ...


def on_one_device(settings: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Settle the Trainer's settings for work that one process does on one device.

    Returns:
        The settings, and in words the settings that ask for more and have no effect; empty for none.
    """
    devices = settings.get("devices", "auto")
    ignored = {"devices": devices, "num_nodes": settings.get("num_nodes", 1)}
    ignored = {key: value for key, value in ignored.items() if _count(value) > 1}
    if not ignored:
        return dict(settings), ""
    one = {"devices": devices[:1] if isinstance(devices, list) else 1, "num_nodes": 1, "strategy": "auto"}
    names = " and ".join(f"trainer.{key} {value}" for key, value in ignored.items())
    settled = {key: one.get(key, value) for key, value in settings.items()}
    return settled, f"{names} {'has' if len(ignored) == 1 else 'have'} no effect"


def _count(value: Any) -> int:
    """Number of devices or nodes that a setting asks for."""
    if isinstance(value, list):
        return len(value)
    return torch.cuda.device_count() if value == -1 else value if isinstance(value, int) else 1


def settle(settings: dict[str, Any], command: str | None, network: Network, data: StepShape) -> dict[str, Any]:
    """Settle the Trainer's settings of devices for a command; say so where only one device can work.

    Raises:
        SystemExit: 0, in a process of torchrun or SLURM that has nothing to do.
    """
    if command is None:  # a trial of a sweep: one process, whoever has started it
        return with_accelerator(settings, network, data)
    is_counted = command == "fit" and network.learning == "counting"
    if is_counted or COMMANDS[command].is_alone:
        work = "fit by counting" if is_counted else command
        go_on_alone(work)
        settings, without_effect = on_one_device(settings)
        if without_effect:
            tell_alone(work, without_effect)
    return with_devices(settings, network, data)


def with_devices(settings: dict[str, Any], network: Network, data: StepShape) -> dict[str, Any]:
    """Settle the Trainer's settings `accelerator` and `devices` where they are auto.

    The device is a CPU unless there is a CUDA GPU and a training step that keeps it busy. The number is 1, or what
    torchrun has started, as is the number of machines.

    Args:
        settings: The Trainer's settings.
        network: The network.
        data: The data.

    Raises:
        UserError: If the number is not torchrun's.
    """
    result = dict(settings)
    if "LOCAL_WORLD_SIZE" in os.environ:  # of torchrun
        started = int(os.environ["LOCAL_WORLD_SIZE"])
        result["num_nodes"] = int(os.environ.get("GROUP_WORLD_SIZE", "1"))
        if result["devices"] not in ("auto", started):
            raise UserError(f"trainer.devices is {result['devices']}, but torchrun has started {started}; leave it out")
        result["devices"] = started
    return with_accelerator(result, network, data)


def with_accelerator(settings: dict[str, Any], network: Network, data: StepShape) -> dict[str, Any]:
    """Settle the accelerator where it is auto, for one device unless the settings have a number.

    Args:
        settings: The Trainer's settings.
        network: The network.
        data: The data.

    Raises:
        UserError: If GPUs are numbered, and the device is a CPU.
    """
    result = dict(settings)
    if result["devices"] == "auto":
        result["devices"] = 1
    means_gpus = result["devices"] == -1 or isinstance(result["devices"], list)
    if result["accelerator"] == "auto":
        is_busy = means_gpus or _multiply_adds(network, data) >= _GPU_STEP_MULTIPLY_ADDS
        has_gpu = torch.cuda.is_available()
        result["accelerator"] = "cuda" if has_gpu and is_busy else "cpu"
        if has_gpu and not is_busy:
            rank_zero_info("device: CPU, as a step is too small for a GPU (--trainer.accelerator gpu overrides)")
    if result["accelerator"] == "cpu" and means_gpus:
        raise UserError(
            f"trainer.devices is {result['devices']}, which means GPUs, but the device is the CPU; give the number of "
            "processes, or leave it out"
        )
    return result


def _multiply_adds(network: Network, data: StepShape) -> float:
    """Estimate the multiply-adds of a training step; 0 for a network that is counted, which is one pass."""
    if network.learning != "gradient":
        return 0
    targets = (data.batch_size or torch.inf) * (1 if data.block_size else _TARGETS_PER_ITEM)
    return network.multiply_adds(targets)
