"""Ranges of settings: types whose values a parser of jsonargparse refuses outside of their range.

A signature names the range beside the default, as in `hidden_dim: Size = 200`; `--help` prints the range as the type. A
parsed value is a plain number. jsonargparse's own restricted numbers make subclasses of int and float, which a
checkpoint of plain data cannot hold. Python code that calls a constructor directly is not checked.
"""

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jsonargparse.typing import register_type


def _registered(name: str, base: type, is_inside: Any) -> Any:
    """Register a number type whose constructor returns a plain number, or raises ValueError with the refused value."""

    def new(_: type, value: Any) -> Any:
        number = math.nan
        if isinstance(value, str | int | base) and not isinstance(value, bool):
            with suppress(ValueError, OverflowError):  # text that is no number, or an integer beyond every float
                number = base(value)
        if not is_inside(number):
            raise ValueError(value if isinstance(value, str) and value else repr(value))
        return number

    result = type(name, (base,), {"__new__": new})
    register_type(result, serializer=base)
    return result


def _whole(low: int, high: int) -> Any:
    return _registered(f"int from {low:_} to {high:_}", int, lambda number: low <= number <= high)


def _real(low: float, high: float, interval: str) -> Any:
    """A float between two ends; the brackets of `interval` say which end belongs to the range."""
    left, right = interval[0], interval[1]

    def is_inside(number: float) -> bool:
        is_above = low <= number if left == "[" else low < number
        return is_above and (number <= high if right == "]" else number < high)

    return _registered(f"float in {left}{low:g}, {high:g}{right}", float, is_inside)


def _local_folder() -> Any:
    """A path on this machine: Lightning takes a URL too, but run folders are made and locked by the local system."""

    def new(_: type, value: Any) -> str:
        if not isinstance(value, str) or "://" in value:
            raise ValueError(value if isinstance(value, str) else repr(value))
        return value

    result = type("local folder", (str,), {"__new__": new})
    register_type(result, serializer=str)
    return result


if TYPE_CHECKING:
    Count = int
    EndlessCount = int
    BatchLimit = int
    DeviceCount = int
    DeviceIndex = int
    NodeCount = int
    Seed = int
    Size = int
    Depth = int
    Context = int
    ItemLength = int
    MinItemLength = int
    EditCount = int
    VocabularySize = int
    RangeTestSteps = int
    Fraction = float
    ClosedFraction = float
    PositiveFraction = float
    Slope = float
    Smoothing = float
    Temperature = float
    ClipLimit = float
    Exponent = float
    Minutes = float
    LocalFolder = str
else:
    Count = _whole(1, 10**12)
    EndlessCount = _whole(-1, 10**12)  # -1: without an end
    BatchLimit = _whole(0, 10**12)
    DeviceCount = _whole(-1, 1024)  # -1: all
    DeviceIndex = _whole(0, 1023)
    NodeCount = _whole(1, 1024)
    Seed = _whole(0, 2**32 - 1)  # the seeds that numpy takes
    Size = _whole(1, 10**6)  # of one dimension of a network
    Depth = _whole(1, 1000)  # layers
    Context = _whole(1, 1000)  # tokens; no item is longer
    ItemLength = _whole(1, 10_000)  # tokens
    MinItemLength = _whole(0, 10_000)  # tokens
    EditCount = _whole(1, 100)  # between an item and a word
    VocabularySize = _whole(3, 10**12)  # the boundary, <unk> and one word, or more
    RangeTestSteps = _whole(100, 10**6)  # fewer show no valley through the noise of the batches
    Fraction = _real(0, 1, "[)")
    ClosedFraction = _real(0, 1, "[]")
    PositiveFraction = _real(0, 1, "(]")
    Slope = _real(-1000, 1000, "[]")  # of the logarithm of a weight; its exponential stays a number
    Smoothing = Temperature = ClipLimit = _real(0, math.inf, "[)")
    Minutes = _real(0, 1440, "[]")  # a day
    Exponent = _real(-30, 30, "[]")  # of 10, of a learning rate; no network learns beyond
    LocalFolder = _local_folder()
