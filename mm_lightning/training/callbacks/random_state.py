"""The state of torch's global random generators in the checkpoint.

Batches and samples have random streams of their own; dropout uses the global generator. Lightning does not save its
state, so a resumed run would drop other units. Each rank has a stream of its own.
"""

from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from mm_lightning.training.checkpoint import RANDOM_STATE
from mm_lightning.training.processes.collectives import gathered


class RandomState(Callback):
    """Callback that saves the random state of every rank, and restores the state when a run resumes."""

    def __init__(self) -> None:
        self._trainer: pl.Trainer | None = None
        self._loaded: dict[str, Tensor] = {}

    @override
    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._trainer = trainer

    @override
    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the states of the checkpoint, as the last thing before the first step.

        A rank without a state begins a random stream of its own: the same dropout on all ranks would be less noise.
        """
        rank = trainer.global_rank
        if rank >= max(1, len(self._loaded.get("cpu", ()))):
            words = np.random.SeedSequence([torch.initial_seed(), trainer.global_step, rank]).generate_state(2)
            torch.manual_seed(int(words.view(np.uint64)[0] >> 1))
        for kind, states in self._loaded.items():
            if rank < len(states):
                state = states[rank].clone()  # torch 2.15 reads a view from its base's start
                if kind == "cpu":
                    torch.set_rng_state(state)
                elif trainer.strategy.root_device.type == "cuda":
                    torch.cuda.set_rng_state(state, trainer.strategy.root_device)

    @property
    @override
    def state_key(self) -> str:
        return RANDOM_STATE

    @override
    def state_dict(self) -> dict[str, Any]:
        """State of each kind of generator on every rank (ranks, bytes)."""
        assert self._trainer is not None
        device = self._trainer.strategy.root_device
        states = {"cpu": torch.get_rng_state()}
        if device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(device)
        return {kind: gathered(self._trainer, state) for kind, state in states.items()}

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the states for `on_train_start`."""
        self._loaded = state_dict
