"""Values of all processes of a run, of tensors on the CPU."""

import lightning.pytorch as pl
from torch import Tensor


def gathered(trainer: pl.Trainer, value: Tensor) -> Tensor:
    """Gather the values of all processes (ranks, ...), from the value (...) of each."""
    if trainer.world_size == 1:
        return value.cpu()[None]
    return trainer.strategy.all_gather(value.to(trainer.strategy.root_device)).cpu()


def over_processes(trainer: pl.Trainer, value: Tensor, operation: str) -> Tensor:
    """Compute the `sum` or the `mean` of a float64 tensor of the CPU over all processes."""
    if trainer.world_size == 1:
        return value  # on its device, which can lack float64
    return trainer.strategy.reduce(value.to(trainer.strategy.root_device), reduce_op=operation).cpu()
