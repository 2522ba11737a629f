"""Facts about a trained model that its exports carry: what was trained, on which data, how, and how well."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Loss:
    """Loss of one split.

    Args:
        all: Mean NLL in nats per target.
        unseen: The same for items that the train split does not have; None if there are none.
        num_items: Number of items.
    """

    all: float
    unseen: float | None
    num_items: int


@dataclass(frozen=True)
class Facts:
    """Facts about a trained model; none names a folder, a user or a machine.

    Args:
        title: Name of the model, as in "names".
        network: Name of the network's class.
        num_parameters: Number of learned or counted numbers.
        steps: Optimiser steps done.
        seed: Seed of the run.
        data_name: Name of the data file, without its folder.
        data_hash: SHA-256 of the data file in hexadecimal; None if the file is not at hand.
        num_lines: Number of items in the data; None if the file is not at hand.
        split: How items are split, `lecture`, `unique` or `all`.
        command: Command that trains such a model.
        date: Day of the export, as in "2026-11-29".
        losses: Loss of each measured split, by name.
        versions: Version of each package, by name.
    """

    title: str
    network: str
    num_parameters: int
    steps: int
    seed: int
    data_name: str
    data_hash: str | None
    num_lines: int | None
    split: str
    command: str
    date: str
    losses: dict[str, Loss] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
