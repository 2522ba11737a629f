"""The network that suits a list, from the list's size alone.

`benchmarks/list_sizes.py` measured the rule on 22 lists of 51 to 30,000 items in eight scripts; docs/lists.md has the
tables. On lists of 60 to 1,500 items, an LSTM mixed with counts had a lower held-out loss for its processor time than a
GRU, an MLP and a Transformer. On 30,000 items an LSTM and an MLP were compared, with the same result on names.
"""

from dataclasses import dataclass
from typing import Any

MIN_HELD_OUT_ITEMS = 300  # enough to judge by one fold alone
_NUM_FOLDS = 5
_MIN_TARGETS = 100  # below, there is too little to judge a network by
_MIN_STEPS = 5  # in fewer, the learning rate cannot rise and fall
_MAX_TARGETS_OF_BATCH = 850  # of long items such as sentences, fewer, so that there are enough steps
_MAX_COPIES = 3  # a fourth lowers the loss by some 0.002 nats


@dataclass(frozen=True)
class Recipe:
    """Settings of a network and of its training.

    Args:
        name: Name of the network, for people.
        settings: Settings as in a config: the keys `model`, `data` and `trainer`.
        copies: Networks to train from different seeds. Their mean has a lower loss, and there is time for all of them.
        seconds: Expected processor time of one training of one network, in seconds.
    """

    name: str
    settings: dict[str, Any]
    copies: int
    seconds: float


def num_folds(num_items: int) -> int:
    """Number of folds of a list: 5 of a short list, so that each item is held out once, and 1 of a long list."""
    most = min(_NUM_FOLDS, num_items)
    return 1 if num_items // most >= MIN_HELD_OUT_ITEMS else most


def suited(num_items: int, num_characters: int, vocab_size: int, max_seconds: float) -> Recipe | None:
    """Choose a network, its regularisation and its horizon for a list.

    The learning rate ends its cycle where over-fitting begins, or where the time for a training ends. Over-fitting
    begins after a number of steps that grows with the 0.6th power of the number of targets.

    Args:
        num_items: Number of different items to learn from, at least 1.
        num_characters: Characters of these items, without their ends.
        vocab_size: Number of ids V.
        max_seconds: Processor time of all trainings, in seconds.

    Returns:
        The recipe, or None for a list or a time that is too short.
    """
    targets = num_characters + num_items
    if targets < _MIN_TARGETS:
        return None
    trainings = num_folds(num_items) + 1  # to judge, then on all items
    if targets < 5_000:
        embed_dim, hidden_dim = 32, 64
    elif targets < 30_000 or trainings > 2:
        embed_dim, hidden_dim = 48, 128
    else:
        embed_dim, hidden_dim = 64, 200
    batch_size = 16 if targets < 2_000 else 32 if hidden_dim < 200 else 64
    batch_size = max(1, min(batch_size, _MAX_TARGETS_OF_BATCH * num_items // targets))
    seconds_per_step = min(batch_size, num_items) * targets / num_items * _seconds(embed_dim, hidden_dim, vocab_size)
    steps = round(min(2.3 * targets**0.6, max_seconds / trainings / seconds_per_step))
    if steps < _MIN_STEPS:
        return None
    seconds = steps * seconds_per_step
    epochs = steps * batch_size / num_items  # of a long list, time limits them, and over-fitting does not begin
    dropout = 0.5 if epochs > 8 else 0.3 if epochs > 4 else 0.0
    embed_dropout = 0.2 if dropout and hidden_dim < 200 else 0.0
    network = {
        "embed_dim": embed_dim,
        "hidden_dim": hidden_dim,
        "embed_dropout": embed_dropout,
        "dropout": dropout,
    }
    copies = max(1, min(_MAX_COPIES, int(max_seconds / trainings / seconds)))
    return Recipe("LSTM", _settings(network, batch_size, steps), copies, seconds)


def _settings(network: dict[str, Any], batch_size: int, steps: int) -> dict[str, Any]:
    """Settings of a training as in a config, for the arguments of an LSTM."""
    return {
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
        "trainer": {
            "max_steps": steps,
            "steps_per_execution": min(50, steps),
            "compile": False,
            "gradient_clip_val": 1.0,
        },
    }


def _seconds(embed_dim: int, hidden_dim: int, vocab_size: int) -> float:
    """Estimate the processor time of a training step per target, padding included, as measured on one shared core."""
    weights = 4 * hidden_dim * (embed_dim + hidden_dim) + 2 * hidden_dim * vocab_size  # softmax takes as long again
    return 14e-6 + 0.17e-9 * weights
