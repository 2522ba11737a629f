"""What a sweep is told: its file, and how a point of its space becomes the configuration of a `fit`."""

import copy
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse.typing import NonNegativeInt, PositiveInt

from mm_lightning import UserError
from mm_lightning.files import find_shipped
from mm_lightning.sweep.space import Point, Space, grid_size, parse_space

Config = dict[str, Any]


@dataclass
class SweepOptions:
    """The search.

    Args:
        base: Configuration of a `fit`, from which every trial starts, for example configs/mlp.yaml.
        space: What is searched, by dotted keys of that configuration, such as model.network.init_args.hidden_dim. Each
            is {int: [50, 400]}, {float: [0.001, 1]} or {choice: [256, 512]}; the first two with log: true to draw each
            power of ten alike, or with step: s.
        fixed: What every trial has otherwise than base, by dotted keys. The same keys are options of the command, as
            in --data.path FILE, and overrule the file.
        trials: How many, those pruned or failed included, of all workers and starts together; null for a whole grid.
        sampler: tpe learns from the trials that are done where to look (Tree-structured Parzen Estimator); grid takes
            every combination, in an order set by seed.
        pruner: Which trials end early, by their val/loss. median ends one whose lowest so far is above the median of
            complete trials at the same optimiser step, from a third of trainer.max_steps on and once five are complete;
            hyperband lets the best third go on at 1/9 and at 1/3 of trainer.max_steps, with brackets that spare some.
        seed: Of the sampler. Every trial trains with the seed_everything of base.
        storage: Where the study is kept. sqlite is one file of a database; journal is a file that only grows, for many
            workers, or on a disk that several machines share.
        name: Of the study, whose folder is lightning_logs/sweeps/NAME; null takes that of the file.

    Raises:
        UserError: If settings make no sense.
    """

    base: str
    space: dict[str, dict[str, Any]]
    fixed: dict[str, Any] = field(default_factory=dict)
    trials: PositiveInt | None = None
    sampler: Literal["tpe", "grid"] = "tpe"
    pruner: Literal["none", "median", "hyperband"] = "none"
    seed: NonNegativeInt = 42
    storage: Literal["sqlite", "journal"] = "sqlite"
    name: str | None = None


class Plan:
    """A search that makes sense as far as can be said without building a model.

    Args:
        options: What the file and the command line say.
        overrides: Settings of the command line, by dotted keys; they overrule `options.fixed`.
        name: Of the study, if the options give none.

    Raises:
        UserError: If the base cannot be read or a setting makes no sense.
    """

    def __init__(self, options: SweepOptions, overrides: Config, name: str) -> None:
        self.options = options
        self.name = name if options.name is None else options.name
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise UserError(f"name is {self.name!r}; give one that a folder can have")
        self.space: Space = parse_space(options.space)
        self.fixed = {**options.fixed, **overrides}
        if both := sorted(self.fixed.keys() & self.space.keys()):
            raise UserError(f"{both[0]} is fixed and stands in space too; leave one out")
        self.num_trials = self._num_trials()
        self.base: Config = _read(options.base)
        self.config({})

    def config(self, point: Point) -> Config:
        """The configuration of a `fit` at a point of the space, or at no point.

        Raises:
            UserError: If a key leads nowhere.
        """
        result = copy.deepcopy(self.base)
        for key, value in {**self.fixed, **point}.items():
            _put(result, key, value)
        return result

    @property
    def identity(self) -> dict[str, Config]:
        """What trials must share to be compared, as plain data."""
        return {"base": dict(_leaves(self.base)), "fixed": self.fixed, "space": self.options.space}

    def _num_trials(self) -> int:
        wanted = self.options.trials
        if self.options.sampler == "tpe":
            if wanted is None:
                raise UserError("trials is missing; give a number, for example --trials 20")
            return int(wanted)
        size = grid_size(self.space)
        return size if wanted is None else min(int(wanted), size)


def parse_value(text: str) -> Any:
    """A value of the command line, read as YAML; what is none is a string."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        return text


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as it is to the parser of `fit`."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _read(base: str) -> Config:
    try:
        content = yaml.load(Path(find_shipped(base)).read_text(encoding="utf-8"), _Loader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise UserError(f"base {base} cannot be read ({reason}); give the configuration of a fit") from None
    except yaml.YAMLError as error:
        raise UserError(f"base {base} is no YAML: {error}") from None
    if not isinstance(content, dict):
        raise UserError(f"base {base} holds no settings; give the configuration of a fit")
    return content


def _leaves(config: Config, above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and what they lead to."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _put(config: Config, key: str, value: Any) -> None:
    """Set what a dotted key leads to."""
    *sections, last = key.split(".")
    for number, section in enumerate(sections, 1):
        inner = config.setdefault(section, {})
        if inner is None:
            inner = config[section] = {}
        if not isinstance(inner, dict):
            above = ".".join(sections[:number])
            raise UserError(f"{key} leads nowhere: {above} is {inner!r}; write it out as class_path and init_args")
        config = inner
    config[last] = value
