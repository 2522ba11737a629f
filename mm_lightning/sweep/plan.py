"""The plan of a search: its checked options, and the settings of a `fit` at each point of the search space."""

import copy
from pathlib import Path

from mm_lightning import UserError
from mm_lightning.cli.devices import on_one_device
from mm_lightning.data.files.tables import Columns
from mm_lightning.sweep.options import SweepOptions
from mm_lightning.sweep.settings import Settings, flatten, full_keys, read_settings, set_value
from mm_lightning.sweep.space import Point, Space, grid_size, parse_space
from mm_lightning.sweep.storage.opening import check_storage


class Plan:
    """A search whose options are valid as far as can be checked without building a model.

    Args:
        options: Options of the file and the command line.
        overrides: Settings of the command line, by dotted key; they overrule `options.fixed`.
        name: Name of the study, if the options have none.

    Raises:
        UserError: If the base cannot be read or an option is invalid.
    """

    def __init__(self, options: SweepOptions, overrides: Settings, name: str) -> None:
        self.options = options
        self.name = name if options.name is None else options.name
        if not self.name or Path(self.name).name != self.name or self.name.startswith("."):
            raise UserError(f"name is {self.name!r}; give one that a folder can have")
        check_storage(options.storage)
        self._space_forms = full_keys(options.space, "space")
        self.space: Space = parse_space(self._space_forms)
        self.fixed = {**full_keys(options.fixed, "fixed"), **full_keys(overrides, "the command line")}
        if both := sorted(self.fixed.keys() & self.space.keys()):
            raise UserError(f"{both[0]} is fixed and stands in space too; leave one out")
        self.num_trials = self._num_trials()
        self.base: Settings = read_settings(options.base)
        self.without_effect = ""  # settings of devices, in words: a trial has one
        self.settings({})

    def settings(self, point: Point) -> Settings:
        """Settings of a `fit` on one device at a point of the space; an empty point keeps the settings of base.

        Raises:
            UserError: If a part of a dotted key has a value of its own.
        """
        result = copy.deepcopy(self.base)
        values = {**self.fixed, **point}
        for key in sorted(values, key=lambda key: key.count(".")):  # a section before its settings
            set_value(result, key, values[key])
        if isinstance(result.get("trainer"), dict):
            result["trainer"], self.without_effect = on_one_device(result["trainer"])
        return result

    @property
    def loss_note(self) -> str:
        """How items count in val/loss; empty where each counts once."""
        data = self.settings({}).get("data")
        return Columns(weight=data.get("weight") if isinstance(data, dict) else None).loss_note

    @property
    def identity(self) -> dict[str, Settings]:
        """Plain data that must be equal for trials to be comparable."""
        return {"base": dict(flatten(self.base)), "fixed": self.fixed, "space": self._space_forms}

    def _num_trials(self) -> int:
        wanted = self.options.trials
        if self.options.sampler == "tpe":
            if wanted is None:
                raise UserError("trials is missing; give a number, for example --trials 20")
            return wanted
        size = grid_size(self.space)
        return size if wanted is None else min(wanted, size)
