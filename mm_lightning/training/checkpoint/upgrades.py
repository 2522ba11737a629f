"""Content of checkpoints of older versions, under the keys of this version."""

from typing import Any

import torch

from mm_lightning.data.batches import GLOBAL_BATCH
from mm_lightning.training.checkpoint.keys import BEST_CHECKPOINT, DATA, PLATEAU, RANDOM_STATE, RUN_CONFIG

_OLD_DATA = "WordsDataModule"  # keys of version 0.1
_OLD_CALLBACKS = {"BestCheckpoint": BEST_CHECKPOINT, "RandomState": RANDOM_STATE, "RunConfig": RUN_CONFIG}
_OLD_WEIGHTS = {"network.blocks.": "network.layers."}  # of the Transformer
_NEW_MODEL_SETTINGS: dict[str, Any] = {"labels": {}}  # absent in files of before
_NEW_NETWORK_SETTINGS: dict[str, dict[str, Any]] = {
    "mm_lightning.networks.MLP": {"initialization": "torch"},
    "mm_lightning.networks.Mixture": {"entropy_slopes": None, "geometric": False},
    **{f"mm_lightning.networks.{name}": {"weight_dropout": 0.0} for name in ("RNN", "GRU", "LSTM")},
}
_NEW_DATA_SETTINGS = {"item": None, "label": None, "weight": None}


def upgraded(content: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of older versions, and add the settings and states that they did not have."""
    result = {DATA if key == _OLD_DATA else key: value for key, value in content.items()}
    result["hyper_parameters"] = _with_network_settings({**_NEW_MODEL_SETTINGS, **result["hyper_parameters"]})
    result["datamodule_hyper_parameters"] = {**_NEW_DATA_SETTINGS, **result["datamodule_hyper_parameters"]}
    for key, additions in ((DATA, {GLOBAL_BATCH: None}), ("train_loss", {"sums": torch.zeros(0, dtype=torch.float64)})):
        if isinstance(state := result.get(key), dict):
            result[key] = {**additions, **state}
    if isinstance(states := result.get("callbacks"), dict):
        named = {_OLD_CALLBACKS.get(str(key).partition("{")[0], key): states[key] for key in states}
        result["callbacks"] = {PLATEAU: {}, **named}
    if isinstance(weights := result.get("state_dict"), dict):
        result["state_dict"] = {_renamed(str(key)): value for key, value in weights.items()}
    return result


def _with_network_settings(value: Any) -> Any:
    """Add the settings that a network did not have, however deep in a mixture."""
    if isinstance(value, list):
        return [_with_network_settings(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    result = {key: _with_network_settings(inner) for key, inner in value.items()}
    added = _NEW_NETWORK_SETTINGS.get(str(value.get("class_path")))
    if added is not None and isinstance(arguments := result.get("init_args"), dict):
        result["init_args"] = {**added, **arguments}
    return result


def _renamed(weight: str) -> str:
    for old, new in _OLD_WEIGHTS.items():
        if weight.startswith(old):
            return new + weight.removeprefix(old)
    return weight
