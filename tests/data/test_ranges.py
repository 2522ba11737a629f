"""Ranges of settings: what a parser takes, and that every number has a range."""

import inspect
import math
from dataclasses import fields
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from jsonargparse import ArgumentError, ArgumentParser

from mm_lightning import networks
from mm_lightning.cli.bounded_trainer import BoundedTrainer
from mm_lightning.commands import lr_find, quality
from mm_lightning.data import ranges
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sweep.options import SweepOptions
from mm_lightning.training.callbacks import Histograms, LastCheckpoint, SampleItems

ENDS = {  # lowest and highest value, and values just outside
    "Size": (1, 10**6, 0, 10**6 + 1),
    "Depth": (1, 1000, 0, 1001),
    "EndlessCount": (-1, 10**12, -2, 2**70),
    "Seed": (0, 2**32 - 1, -1, 2**32),
    "Fraction": (0.0, math.nextafter(1, 0), -1e-9, 1.0),
    "PositiveFraction": (math.nextafter(0, 1), 1.0, 0.0, 1.01),
    "Temperature": (0.0, 1e300, -0.1, math.inf),
    "Exponent": (-30.0, 30.0, -31.0, 31.0),
}


def parse(kind: Any, value: Any) -> Any:
    """The value of an option of a type, from the command line if it is text."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--x", type=kind)
    parsed = parser.parse_args([f"--x={value}"]) if isinstance(value, str) else parser.parse_object({"x": value})
    return parsed["x"]


@pytest.mark.parametrize("name", ENDS)
def test_the_ends_of_a_range_are_inside_and_their_neighbours_outside(name: str):
    """Catches an end on the wrong side, a value of another type, and a range that only the command line has."""
    kind = getattr(ranges, name)
    low, high, below, above = ENDS[name]
    for value in (low, high):
        for given in (value, str(value)):
            assert parse(kind, given) == value
            assert type(parse(kind, given)) is type(value), "a checkpoint cannot hold a subclass"
    for value in (below, above, math.nan, True, [], {}, "x", "", "nan", "1e400", "9" * 5000, "1 2"):
        for given in {str(value)} if isinstance(value, str) else (value, str(value)):
            with pytest.raises(ArgumentError, match=r"Not of type (int from|float in)|Exceeds the limit"):
                parse(kind, given)


def test_a_whole_number_is_no_share():
    """Catches 1 batch read as 1.0, all batches, and 1.0 read as 1 batch."""
    kind = ranges.BatchLimit | ranges.ClosedFraction
    assert [(type(parse(kind, text)), parse(kind, text)) for text in ("1", "1.0", "7", "0.5")] == [
        (int, 1),
        (float, 1.0),
        (int, 7),
        (float, 0.5),
    ]


def test_a_folder_is_on_this_machine():
    """Catches a URL, which Lightning takes and no run folder can be made below, and a name read as a number."""
    for name in ("runs", "007", "a::b", "../x y"):
        assert parse(ranges.LocalFolder | None, name) == name
    for name in ("s3://bucket/runs", "file:///x"):
        with pytest.raises(ArgumentError, match=name):
            parse(ranges.LocalFolder | None, name)


def plain_numbers(hint: Any) -> bool:
    """Whether a type takes any int or float."""
    if get_origin(hint) in (UnionType, Union, list):
        return any(map(plain_numbers, get_args(hint)))
    return hint in (int, float)


NETWORKS = [getattr(networks, name) for name in networks.__all__]
CALLABLES = [*NETWORKS, ItemsDataModule, LastCheckpoint, SampleItems, Histograms, BoundedTrainer]
CALLABLES += [SamplingOptions, SweepOptions, lr_find.run, quality.run]
SET_BY_THE_APPLICATION = {"vocab_size", "num_labels", "block_size of ItemsDataModule"}


@pytest.mark.parametrize("function", CALLABLES, ids=lambda function: f"{function.__module__}.{function.__qualname__}")
def test_every_number_has_a_range(function: Any):
    """Catches an option that takes -1 or 2**70 because nobody thought of its range."""
    hints = get_type_hints(function.__init__ if isinstance(function, type) else function)
    if function in (SamplingOptions, SweepOptions):
        assert {field.name for field in fields(function)} <= hints.keys()
    names = set(inspect.signature(function).parameters) - SET_BY_THE_APPLICATION
    without = {name for name in names if plain_numbers(hints.get(name))}
    assert {name for name in without if f"{name} of {function.__name__}" not in SET_BY_THE_APPLICATION} == set()


def test_lightnings_numbers_have_ranges_too():
    """Catches a number of Lightning's Trainer, perhaps of its next release, that has no range here."""
    hints = {}
    for base in reversed(BoundedTrainer.__mro__[:-1]):
        if "__init__" in vars(base):
            hints |= get_type_hints(base.__init__)
    flags = {"fast_dev_run"}  # a bool, or a number of batches
    assert {name for name, hint in hints.items() if plain_numbers(hint)} - flags - {"precision"} == set()
