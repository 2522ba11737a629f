"""The state of torch's random generators, as a part of the checkpoint.

Batches and samples have streams of their own; what draws from the global one is dropout and its kind. Lightning does
not save it, so a resumed run would drop other units.
"""

from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor


class RandomState(Callback):
    """Save the random state of every rank, and set it again when a run is resumed."""

    def __init__(self) -> None:
        self._trainer: pl.Trainer | None = None
        self._loaded: dict[str, Tensor] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Keep the trainer, which knows the ranks."""
        self._trainer = trainer

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set what the checkpoint had, the last thing before the first step."""
        for kind, states in self._loaded.items():
            if trainer.global_rank < len(states):
                state = states[trainer.global_rank].clone()  # torch 2.15 reads a view from its base's start
                if kind == "cpu":
                    torch.set_rng_state(state)
                elif trainer.strategy.root_device.type == "cuda":
                    torch.cuda.set_rng_state(state, trainer.strategy.root_device)

    def state_dict(self) -> dict[str, Any]:
        """(ranks, bytes) for each kind of generator."""
        assert self._trainer is not None
        device = self._trainer.strategy.root_device
        states = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
        return {kind: self._gather(state) for kind, state in states.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep it for `on_train_start`."""
        self._loaded = state_dict

    def _gather(self, state: Tensor) -> Tensor:
        assert self._trainer is not None
        gathered = self._trainer.strategy.all_gather(state.to(self._trainer.strategy.root_device))
        return gathered.cpu().view(self._trainer.world_size, -1)
