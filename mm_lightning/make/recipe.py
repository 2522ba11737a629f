"""The network that suits a list, from the list's size alone.

`benchmarks/list_sizes.py` measured the rule on 20 lists of 51 to 30,000 items in nine scripts; docs/lists.md has the
table. An LSTM had the lowest held-out loss per second of processor time at every size, alone and mixed with counts; a
GRU, an MLP and a Transformer of the same cost had a higher one.
"""

from dataclasses import dataclass
from typing import Any

_MIN_TARGETS = 100  # below, there is too little to judge a network by
_STEPS = (2.3, 0.6)  # factor and exponent: over-fitting begins after about 2.3 * targets ** 0.6 steps
_MAX_TARGETS_TRAINED = 600_000  # some 30 seconds of processor time
_SECONDS_PER_TARGET = {64: 20e-6, 128: 30e-6, 200: 45e-6}  # forward, backward and update, by hidden_dim


@dataclass(frozen=True)
class Recipe:
    """Settings of a network and of its training.

    Args:
        name: Name of the network, for people.
        settings: Settings as in a config: the keys `model`, `data` and `trainer`.
        seconds: Expected processor time of one training, in seconds.
    """

    name: str
    settings: dict[str, Any]
    seconds: float


def suited(num_items: int, num_characters: int, vocab_size: int) -> Recipe | None:
    """Choose a network, its regularisation and its horizon for a list.

    The learning rate ends its cycle where over-fitting would begin, or where the time for one training ends.

    Args:
        num_items: Number of different items to learn from.
        num_characters: Characters of these items, without their ends.
        vocab_size: Number of ids V.

    Returns:
        The recipe, or None for a list that is too short.
    """
    targets = num_characters + num_items
    if targets < _MIN_TARGETS:
        return None
    hidden_dim, embed_dim = (64, 32) if targets < 8_000 else (128, 48) if targets < 25_000 else (200, 64)
    batch_size = 16 if targets < 2_000 else 32 if targets < 25_000 else 64
    dropout, embed_dropout = (0.5, 0.2) if targets < 100_000 else (0.3, 0.1)
    trained_per_step = min(batch_size, num_items) * targets / num_items
    steps = round(min(_STEPS[0] * targets ** _STEPS[1], _MAX_TARGETS_TRAINED / trained_per_step))
    network = {
        "embed_dim": embed_dim,
        "hidden_dim": hidden_dim,
        "embed_dropout": embed_dropout,
        "dropout": dropout,
    }
    settings = {
        "model": {
            "network": {"class_path": "mm_lightning.networks.LSTM", "init_args": network},
            "optimizer": {
                "class_path": "torch.optim.AdamW",
                "init_args": {"weight_decay": 0.05, "betas": [0.9, 0.99], "fused": True},
            },
            "lr_scheduler": {
                "class_path": "torch.optim.lr_scheduler.OneCycleLR",
                "init_args": {"max_lr": 0.01, "pct_start": 0.25},
            },
        },
        "data": {"batch_size": batch_size},
        "trainer": {"max_steps": steps, "steps_per_execution": min(50, steps), "gradient_clip_val": 1.0},
    }
    return Recipe("LSTM", settings, steps * trained_per_step * _SECONDS_PER_TARGET[hidden_dim])
