"""The space of a search: for each dotted key a distribution of Optuna.

The points of a grid are made here. Optuna's GridSampler counts an interrupted trial as done, and stops with an error
where a point of the queue comes last (optuna 5.0).
"""

import itertools
import math
import random
from contextlib import suppress
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from mm_lightning import UserError

Value = bool | int | float | str | None  # types that a study can store
Point = dict[str, Value]  # one value for each dotted key
Distribution = IntDistribution | FloatDistribution | CategoricalDistribution
Space = dict[str, Distribution]

_MAX_GRID_POINTS = 100_000  # more would take years
_FORMS = "{int: [low, high]}, {float: [low, high]}, both with log: true or step: s, or {choice: [a, b]}"


def parse_space(space: dict[str, dict[str, Any]]) -> Space:
    """Make the distribution of each key.

    Raises:
        UserError: If a form is invalid; the message names the key.
    """
    if not space:
        raise UserError(f"space is empty; name at least one setting to search, each as {_FORMS}")
    result: Space = {}
    for key, form in space.items():
        try:
            result[key] = _distribution(dict(form))
        except UserError as error:
            raise UserError(f"space {key}: {error}") from None
    return result


def _distribution(form: dict[str, Any]) -> Distribution:
    kinds = [kind for kind in ("int", "float", "choice") if kind in form]
    unknown = sorted(form.keys() - {"int", "float", "choice", "log", "step"})
    if len(kinds) != 1 or unknown:
        raise UserError(f"cannot be read{': ' + unknown[0] if unknown else ''}; give {_FORMS}")
    kind = kinds[0]
    if not isinstance(form[kind], list):
        raise UserError(f"{kind} is {form[kind]!r}; give a list")
    if kind == "choice":
        return _choice(form)
    _check_range(form, kind)
    (low, high), log, step = form[kind], form.get("log", False), form.get("step")
    if kind == "int":
        return IntDistribution(low, high, log, 1 if step is None else step)
    return FloatDistribution(low, high, log, step)


def _choice(form: dict[str, Any]) -> CategoricalDistribution:
    options = form.pop("choice")
    if form:
        raise UserError(f"{next(iter(form))} has no meaning for a choice; leave it out")
    if not options:
        raise UserError("choice is empty; give at least one value")
    if invalid := [option for option in options if not isinstance(option, Value)]:
        raise UserError(f"choice has {invalid[0]!r}; give numbers, strings, true, false or null")
    if len(set(options)) < len(options):  # 1 and true are equal, in a study too
        raise UserError("choice has a value twice; leave one out")
    return CategoricalDistribution(options)


def _check_range(form: dict[str, Any], kind: str) -> None:
    ends, log, step = form[kind], form.get("log", False), form.get("step")
    numbers = [*ends, *([] if step is None else [step])]
    if len(ends) != 2 or not all(_is_number(number, kind) for number in numbers):
        remedy = "two whole numbers" if kind == "int" else "two numbers"
        raise UserError(f"{kind} is {ends}{'' if step is None else f', step {step}'}; give {remedy}, low and high")
    low, high = ends
    if low > high:
        raise UserError(f"{kind} is {ends}, low above high; exchange them")
    if not isinstance(log, bool):
        raise UserError(f"log is {log!r}; give true or false")
    if log and low <= 0:
        raise UserError(f"{kind} is {ends}, which has no logarithm; with log: true low must be above 0")
    if log and step is not None:
        raise UserError("log and step exclude each other; leave one out")
    if step is not None and (step <= 0 or not math.isclose((high - low) / step, round((high - low) / step))):
        raise UserError(f"step is {step}; it must be above 0 and lead from {low} to {high}")


def _is_number(value: Any, kind: str) -> bool:
    types = int if kind == "int" else int | float
    with suppress(OverflowError):  # an integer too large for a float
        return isinstance(value, types) and not isinstance(value, bool) and math.isfinite(value)
    return False


def extremes(distribution: Distribution) -> list[Value]:
    """Values to test whether a setting accepts the distribution: both ends of a range, all values of a choice."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    return [distribution.low, distribution.high]


def grid_size(space: Space) -> int:
    """Number of points of the grid.

    Raises:
        UserError: If a range is continuous, or the grid is too large.
    """
    for key, distribution in space.items():
        if not isinstance(distribution, CategoricalDistribution) and (distribution.log or distribution.step is None):
            raise UserError(
                f"space {key}: a grid needs a choice, whole numbers or a step, and no log; or set sampler: tpe"
            )
    size = math.prod(_num_values(distribution) for distribution in space.values())
    if size > _MAX_GRID_POINTS:
        raise UserError(f"the grid has {size:,} points; give larger steps, or set sampler: tpe")
    return size


def grid_points(space: Space, seed: int) -> list[Point]:
    """All points of the grid, shuffled by the seed, so that the first few are spread over the space."""
    values = [_grid_values(distribution) for distribution in space.values()]
    points = [dict(zip(space, reversed(point), strict=True)) for point in itertools.product(*reversed(values))]
    random.Random(seed).shuffle(points)
    return points


def _num_values(distribution: Distribution) -> int:
    if isinstance(distribution, CategoricalDistribution):
        return len(distribution.choices)
    assert distribution.step is not None, "a continuous range has no grid"
    return round((distribution.high - distribution.low) / distribution.step) + 1


def _grid_values(distribution: Distribution) -> list[Value]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert distribution.step is not None, "a continuous range has no grid"
    numbers = [distribution.low + i * distribution.step for i in range(_num_values(distribution))]
    return [float(f"{number:.14g}") if isinstance(number, float) else number for number in numbers]
