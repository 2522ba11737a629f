"""Provisional: the network that suits a list."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe:
    name: str
    settings: dict[str, Any]
    seconds: float


def suited(num_items: int, num_characters: int, vocab_size: int) -> Recipe | None:
    if num_items < 300:
        return None
    steps = max(400, min(4000, num_items // 6))
    settings = {
        "model": {
            "network": {
                "class_path": "mm_lightning.networks.GRU",
                "init_args": {"embed_dim": 32, "hidden_dim": 128, "dropout": 0.2},
            },
            "optimizer": {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.005, "weight_decay": 0.05}},
            "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": {"max_lr": 0.005}},
        },
        "data": {"batch_size": 128},
        "trainer": {"max_steps": steps, "steps_per_execution": 50},
    }
    return Recipe("GRU", settings, 0.008 * steps)
