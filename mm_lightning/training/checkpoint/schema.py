"""Schema of a checkpoint's content: the parts that this application and Lightning read, each with its type.

A file can be sound and its content not: cut by another program, of another application, or made to do harm. Only
content that passes is handed on, so no command fails on a part later, when a run folder is made or training has begun.
"""

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mm_lightning.data.batches import GLOBAL_BATCH
from mm_lightning.training.checkpoint.keys import (
    AVERAGING,
    BEST_CHECKPOINT,
    CONFIG_KEY,
    DATA,
    PLATEAU,
    RANDOM_STATE,
    RUN_CONFIG,
    TRAINED,
)

_MAX_DEPTH = 50
_MAX_COUNT = 2**53
_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc|\.dev|\.post)\d+)*(\+[\w.]+)?")


class SchemaError(Exception):
    """Exception for content with a missing or wrong part; the message names the part."""


def _optional(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_right(value)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _MAX_COUNT


def _of(kind: type) -> Callable[[Any], bool]:
    """The check of a value of exactly this type."""
    return lambda value: type(value) is kind


_is_flag, _is_text = _of(bool), _of(str)


def _is_optional_column(value: Any) -> bool:
    return value is None or (type(value) is str and value != "")


def _is_paths(value: Any) -> bool:
    return type(value) is str or (type(value) is list and all(type(path) is str for path in value))


def _is_list_of_dicts(value: Any) -> bool:
    return type(value) is list and all(isinstance(element, dict) for element in value)


def _is_loader_states(value: Any) -> bool:
    return (
        _is_list_of_dicts(value)
        and len(value) == 1
        and all(_is_count(state.get("position")) and _optional(_is_count)(state.get(GLOBAL_BATCH)) for state in value)
    )


def _is_version(value: Any) -> bool:
    return type(value) is str and _VERSION.fullmatch(value) is not None


def _is_score(value: Any) -> bool:
    return value is None or type(value) is float or (isinstance(value, Tensor) and value.dim() == 0)


def _tensor(dim: int, dtype: torch.dtype) -> Callable[[Any], bool]:
    """The check of a tensor."""
    return lambda value: isinstance(value, Tensor) and value.dim() == dim and value.dtype == dtype


def _dict_of(is_right: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The check of a dict from texts to values that pass a check."""
    return lambda value: isinstance(value, dict) and all(type(key) is str and is_right(v) for key, v in value.items())


def _is_random_state(value: Any) -> bool:
    """Whether each row is a state of torch's generator on the CPU, one row per rank."""
    size = len(torch.get_rng_state())
    return isinstance(value, Tensor) and value.dtype == torch.uint8 and value.dim() == 2 and value.shape[1] == size


def _is_alphabet(value: Any) -> bool:
    return bool(value) and (type(value) is str or (type(value) is list and all(type(word) is str for word in value)))


def _is_class(value: Any) -> bool:
    if not isinstance(value, dict) or type(value.get("class_path")) is not str:
        return False
    arguments = value.get("init_args", {})  # absent for a class without arguments
    return isinstance(arguments, dict) and all(type(key) is str for key in arguments)


def _progress(*stages: str) -> dict[str, Any]:
    """Lightning's counters of a loop, in total and in the current epoch."""
    counts = dict.fromkeys(stages, _is_count)
    return {"total": counts, "current": counts}


_is_dict, _is_weights = _dict_of(lambda _: True), _dict_of(lambda value: isinstance(value, Tensor))
_BATCHES = {**_progress("ready", "started", "processed", "completed"), "is_last_batch": _is_flag}
_STEPS = _progress("ready", "completed")
_SCHEMA: dict[str, Any] = {
    "epoch": _is_count,
    "global_step": _is_count,
    "pytorch-lightning_version": _is_version,
    "state_dict": _is_weights,
    "loops": {
        "fit_loop": {
            "state_dict": {"combined_loader": _is_loader_states},
            "epoch_progress": _progress("ready", "started", "processed", "completed"),
            "epoch_loop.state_dict": {"_batches_that_stepped": _is_count},
            "epoch_loop.batch_progress": _BATCHES,
            "epoch_loop.scheduler_progress": _STEPS,
            "epoch_loop.automatic_optimization.state_dict": _is_dict,
            "epoch_loop.automatic_optimization.optim_progress": {
                "optimizer": {"step": _STEPS, "zero_grad": _progress("ready", "started", "completed")}
            },
            "epoch_loop.manual_optimization.state_dict": _is_dict,
            "epoch_loop.manual_optimization.optim_step_progress": _STEPS,
            "epoch_loop.val_loop.state_dict": _is_dict,
            "epoch_loop.val_loop.batch_progress": _BATCHES,
        },
        "validate_loop": {"state_dict": _is_dict, "batch_progress": _BATCHES},
        "test_loop": {"state_dict": _is_dict, "batch_progress": _BATCHES},
        "predict_loop": {
            "state_dict": _is_dict,
            "batch_progress": _progress("ready", "started", "processed", "completed"),
        },
    },
    "callbacks": {
        RANDOM_STATE: {"cpu": _is_random_state},
        PLATEAU: _dict_of(_of(float)),
        BEST_CHECKPOINT: {"best_model_score": _is_score},
        RUN_CONFIG: {CONFIG_KEY: _is_text},
    },
    "optimizer_states": _is_list_of_dicts,
    "lr_schedulers": _is_list_of_dicts,
    "hparams_name": _is_text,
    "hyper_parameters": {
        "_instantiator": _is_text,
        "alphabet": _is_alphabet,
        "labels": _dict_of(_is_count),
        "network": _is_class,
        "optimizer": _optional(_is_class),
        "lr_scheduler": _optional(_is_class),
    },
    "datamodule_hparams_name": _is_text,
    "datamodule_hyper_parameters": {
        "_instantiator": _is_text,
        "path": _is_paths,
        "split": _is_text,
        "batch_size": _optional(_is_count),
        "block_size": _optional(_is_count),
        "tokens": _is_text,
        "max_vocab": _optional(_is_count),
        "seed": _is_count,
        "item": _is_optional_column,
        "label": _is_optional_column,
        "weight": _is_optional_column,
    },
    DATA: {"position": _is_count, GLOBAL_BATCH: _optional(_is_count), "digest": _is_text},
    "train_loss": {"sum": _tensor(0, torch.float64), "sums": _tensor(1, torch.float64), "count": _is_count},
    "compiled_steps": _optional(_is_flag),
}
_AVERAGES: dict[str, Any] = {TRAINED: _is_weights, AVERAGING: {"n_averaged": _tensor(0, torch.int64)}}
_MODEL = ("epoch", "global_step", "state_dict", "hyper_parameters", "datamodule_hyper_parameters", DATA)


def check_size(content: Any, num_bytes: int) -> None:
    """Check that a walk through nested content ends soon and needs no more memory than the file.

    Lists and dicts of a pickle can occur in each other many times, and a tensor can show one number as many.

    Args:
        content: Content of the file.
        num_bytes: Size of the file; each element takes at least one byte.

    Raises:
        SchemaError: If the content is nested too deeply or larger than the file.
    """
    rest, num_elements = [(content, 0)], 0
    while rest:
        value, depth = rest.pop()
        num_elements += 1
        if depth > _MAX_DEPTH or num_elements > num_bytes:
            raise SchemaError("its content is nested too deeply, or within itself")
        if isinstance(value, dict):
            rest += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list | tuple | set):
            rest += [(inner, depth + 1) for inner in value]
        elif isinstance(value, Tensor) and not _is_plain_tensor(value):
            raise SchemaError("it has a tensor that is larger than its data, sparse or without data")


def _is_plain_tensor(value: Tensor) -> bool:
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def check_content(content: dict[str, Any], has_training_state: bool = True) -> None:
    """Check that each part is there and has its type.

    Args:
        content: The content.
        has_training_state: Whether training must be able to go on from the content.

    Raises:
        SchemaError: Names the first part that is missing or wrong.
    """
    expected = _SCHEMA if has_training_state else {key: _SCHEMA[key] for key in _MODEL}
    if not content.keys().isdisjoint(_AVERAGES):
        expected = {**expected, **_AVERAGES}
    _check(content, expected, "")


def _check(value: Any, expected: dict[str, Any] | Callable[[Any], bool], where: str) -> None:
    if callable(expected):
        if not expected(value):
            raise SchemaError(f"{where} is {shown(value)}")
        return
    if not isinstance(value, dict):
        raise SchemaError(f"{where} is {shown(value)}")
    for key, inner in expected.items():
        name = f"{where}.{key}" if where else key
        if key not in value:
            raise SchemaError(f"{name} is missing")
        _check(value[key], inner, name)


def shown(value: Any) -> str:
    """Return a short value as text, any other one as its type."""
    return repr(value)[:40] if isinstance(value, int | float | str | None) else f"of type {type(value).__name__}"
