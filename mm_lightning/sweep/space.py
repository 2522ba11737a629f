"""What a sweep searches: for each setting a range or a choice."""

import math
import random
from dataclasses import dataclass
from typing import Any

from mm_lightning import UserError

Value = bool | int | float | str | None  # what a study can store
Point = dict[str, Value]  # one value for each dotted key

_MAX_GRID = 100_000  # points; more would take years
_FORMS = "{int: [low, high]}, {float: [low, high]}, both with log: true or step: s, or {choice: [a, b]}"


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included.

    Args:
        low: Least.
        high: Most.
        whole: Whether they are integers.
        log: Draw so that each power of ten is as likely as the next.
        step: Distance of one number to the next; None for all of them.
    """

    low: float
    high: float
    whole: bool
    log: bool = False
    step: float | None = None

    @property
    def ends(self) -> list[Value]:
        """The two numbers that are wrong first, if any is."""
        return [self.low, self.high]

    def values(self) -> list[Value]:
        """All of them, for a grid.

        Raises:
            UserError: If there is no end of them.
        """
        if self.log or (self.step is None and not self.whole):
            raise UserError("a grid needs a choice, whole numbers or a step, and no log")
        step = 1 if self.step is None else self.step
        numbers = [self.low + i * step for i in range(round((self.high - self.low) / step) + 1)]
        return [int(number) if self.whole else round(number, 12) for number in numbers]


@dataclass(frozen=True)
class Choice:
    """One of several values, in no order.

    Args:
        options: The values.
    """

    options: tuple[Value, ...]

    @property
    def ends(self) -> list[Value]:
        """Values to be checked: each can be wrong."""
        return list(self.options)

    def values(self) -> list[Value]:
        """All of them, for a grid."""
        return list(self.options)


Dimension = Range | Choice
Space = dict[str, Dimension]


def parse_space(space: dict[str, dict[str, Any]]) -> Space:
    """Read what a file says.

    Raises:
        UserError: If it makes no sense; the message names the key.
    """
    if not space:
        raise UserError(f"space is empty; name at least one setting to search, each as {_FORMS}")
    result: Space = {}
    for key, form in space.items():
        try:
            result[key] = _dimension(dict(form))
        except UserError as error:
            raise UserError(f"space {key}: {error}") from None
    return result


def _dimension(form: dict[str, Any]) -> Dimension:
    kinds = [kind for kind in ("int", "float", "choice") if kind in form]
    unknown = sorted(form.keys() - {"int", "float", "choice", "log", "step"})
    if len(kinds) != 1 or unknown:
        raise UserError(f"cannot be read{': ' + unknown[0] if unknown else ''}; give {_FORMS}")
    kind = kinds[0]
    if not isinstance(form[kind], list):
        raise UserError(f"{kind} is {form[kind]!r}; give a list")
    return _choice(form) if kind == "choice" else _range(form, kind)


def _choice(form: dict[str, Any]) -> Choice:
    options = form.pop("choice")
    if form:
        raise UserError(f"{next(iter(form))} has no meaning for a choice; leave it out")
    if not options:
        raise UserError("choice is empty; give at least one value")
    if wrong := [option for option in options if not isinstance(option, Value)]:
        raise UserError(f"choice has {wrong[0]!r}; give numbers, strings, true, false or null")
    if len({repr(option) for option in options}) < len(options):
        raise UserError("choice has a value twice; leave one out")
    return Choice(tuple(options))


def _range(form: dict[str, Any], kind: str) -> Range:
    ends, log, step = form[kind], form.get("log", False), form.get("step")
    numbers = [*ends, *([] if step is None else [step])]
    if len(ends) != 2 or not all(_is_number(number, kind) for number in numbers):
        what = "two whole numbers" if kind == "int" else "two numbers"
        raise UserError(f"{kind} is {ends}{'' if step is None else f', step {step}'}; give {what}, low and high")
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
    return Range(low, high, kind == "int", log, step)


def _is_number(value: Any, kind: str) -> bool:
    wanted = int if kind == "int" else int | float
    return isinstance(value, wanted) and not isinstance(value, bool) and math.isfinite(value)


def grid_size(space: Space) -> int:
    """Points of the grid.

    Raises:
        UserError: If a range has no end of numbers, or the grid is too large.
    """
    for key, dimension in space.items():
        try:
            dimension.values()
        except UserError as error:
            raise UserError(f"space {key}: {error}; or set sampler: tpe") from None
    size = math.prod(len(dimension.values()) for dimension in space.values())
    if size > _MAX_GRID:
        raise UserError(f"the grid has {size:,} points; give larger steps, or set sampler: tpe")
    return size


def grid_points(space: Space, seed: int) -> list[Point]:
    """All points of the grid, in an order that hangs on the seed, so that the first few lie anywhere."""
    order = list(range(grid_size(space)))
    random.Random(seed).shuffle(order)
    return [_point(space, number) for number in order]


def _point(space: Space, number: int) -> Point:
    result = {}
    for key, dimension in space.items():
        values = dimension.values()
        number, place = divmod(number, len(values))
        result[key] = values[place]
    return result
