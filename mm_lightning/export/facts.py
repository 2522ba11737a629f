"""Facts about a trained model that its exports carry: what was trained, on which data, how, and how well.

A fact names no folder, user or machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.files.lists import hash_of_files, split_paths
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.module import LanguageModel

_PACKAGES = ("mm-lightning", "torch", "lightning")
_TRAINER_SETTINGS = (  # that decide what is learned
    "max_steps",
    "max_epochs",
    "accumulate_grad_batches",
    "gradient_clip_val",
    "gradient_clip_algorithm",
    "limit_train_batches",
    "overfit_batches",
    "precision",
)


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
    """Facts about a trained model.

    Args:
        title: Name of the model, as in "names".
        network: Name of the network's class.
        num_parameters: Number of learned weights and of counts.
        steps: Optimiser steps done.
        seed: Seed of the run.
        data_name: Name of the data file, without its folder.
        data_hash: SHA-256 of the data file in hexadecimal; None if the file is not at hand.
        num_lines: Number of items in all splits; None if the file is not at hand.
        split: How items are split, `lecture`, `unique` or `all`.
        command: Command that trains such a model; `config.yaml` in it is `config`.
        config: Settings that decide what is learned, as YAML; empty where the command alone says all.
        notes: Lines on how the model was chosen; empty for a model of `fit`.
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
    config: str
    date: str
    notes: list[str] = field(default_factory=list)
    losses: dict[str, Loss] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)


def gather(
    source: Checkpoint, model: LanguageModel, datamodule: ItemsDataModule | None, losses: Mapping[str, Loss]
) -> Facts:
    """Gather the facts about a checkpoint.

    Args:
        source: The checkpoint.
        model: The model, with the checkpoint's weights.
        datamodule: The data that the checkpoint was trained on; None if they are not at hand.
        losses: Loss of each measured split.
    """
    path = source.data["path"] if datamodule is None else datamodule.hparams["path"]
    names = [Path(each).name for each in split_paths(path)]
    record = checkpoint.load(source.path).get(checkpoint.MADE)
    made = record if isinstance(record, dict) else None
    command = "fit --config config.yaml" if made is None else made.get("command", f"make {' '.join(names)}")
    return Facts(
        title=Path(names[0]).stem,
        network=type(model.network).__name__,
        num_parameters=model.network.num_parameters,
        steps=source.step,
        seed=source.data["seed"],
        data_name=", ".join(names),
        data_hash=None if datamodule is None else hash_of_files(path),
        num_lines=None if datamodule is None else sum(map(len, datamodule.splits.all)),
        split=source.data["split"],
        command=f"python -m mm_lightning {command}",
        config=_config_of(source, names) if made is None else "",
        notes=[] if made is None else [str(line) for line in made.get("lines", [])],
        date=datetime.now(UTC).date().isoformat(),
        losses=dict(losses),
        versions={name: version(name) for name in _PACKAGES},
    )


def _config_of(source: Checkpoint, names: Sequence[str]) -> str:
    """The settings of a run that decide what is learned, with the names of data files in place of their paths."""
    trainer = source.config.get("trainer", {})
    data = {key: value for key, value in source.data.items() if key not in ("block_size", "seed", "path")}
    model = {key: source.model[key] for key in ("network", "optimizer", "lr_scheduler")}
    averaging = [
        callback
        for callback in trainer.get("callbacks") or []
        if isinstance(callback, dict) and str(callback.get("class_path")).endswith("WeightAveraging")
    ]
    others = {key: Path(source.config[key]).name for key in ("init_from", "teacher") if source.config.get(key)}
    sections = {
        "seed_everything": source.data["seed"],
        **others,
        "teacher_items": source.config.get("teacher_items") or None,
        "trainer": {**{key: trainer.get(key) for key in _TRAINER_SETTINGS}, "callbacks": averaging or None},
        "model": model,
        "data": {"path": names[0] if len(names) == 1 else list(names), **data},
    }
    return yaml.safe_dump(_without_nulls(sections), sort_keys=False, allow_unicode=True)


def _without_nulls(settings: Any) -> Any:
    """Leave out settings that are null, which are defaults."""
    if not isinstance(settings, dict):
        return settings
    return {key: _without_nulls(value) for key, value in settings.items() if value is not None}
