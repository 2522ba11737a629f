"""Comparison of nested data with a pattern: an optimiser's state in a file with that of a fresh optimiser."""

import math
from typing import Any

from torch import Tensor

from mm_lightning.training.checkpoint.schema import SchemaError, shown


def check_like(value: Any, pattern: Any, where: str) -> None:
    """Check that nested data have the types, lengths and shapes of a pattern, where both have a part.

    Raises:
        SchemaError: Names the first part that differs.
    """
    if isinstance(pattern, dict) and isinstance(value, dict):
        for key in pattern.keys() & value.keys():
            check_like(value[key], pattern[key], f"{where}.{key}")
    elif isinstance(pattern, list | tuple) and isinstance(value, list | tuple):
        if len(value) != len(pattern):
            raise SchemaError(f"{where} has {len(value)} elements")
        for number, (inner, inner_pattern) in enumerate(zip(value, pattern, strict=True)):
            check_like(inner, inner_pattern, f"{where}.{number}")
    elif isinstance(pattern, Tensor) and isinstance(value, Tensor):
        if value.shape != pattern.shape or value.dtype != pattern.dtype:
            raise SchemaError(f"{where} is a tensor {tuple(value.shape)} of {value.dtype}")
    elif type(pattern) in (int, float) and type(value) in (int, float):
        if math.isnan(value):
            raise SchemaError(f"{where} is {value}")
    elif type(pattern) is not type(value):
        raise SchemaError(f"{where} is {shown(value)}")
