"""Runs to compare: the checkpoint and the settings of each."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mm_lightning import UserError
from mm_lightning.sweep.settings import flatten
from mm_lightning.training import checkpoint
from mm_lightning.training.run_folders import BEST, LAST, LOGS, checkpoint_of, run_of

_ARGUMENTS = ".init_args."  # of a class
_PATH = "data.path"  # compared by the items, as one file can have several paths
_SECTIONS_WITHOUT_EFFECT = ("seed_everything", "last", "samples", "histograms", "ckpt_path")
_SETTINGS_WITHOUT_EFFECT = (  # on the weights
    "data.seed",
    "data.block_size",  # of the network
    "data.alphabet",  # of the items
    "data.labels",
    "model.alphabet",
    "model.labels",
    "trainer.default_root_dir",
    "trainer.enable_autolog_hparams",
    "trainer.enable_model_summary",
    "trainer.enable_progress_bar",
    "trainer.inference_mode",
    "trainer.limit_predict_batches",
    "trainer.limit_test_batches",
    "trainer.log_every_n_steps",
    "trainer.model_registry",
    "trainer.profiler",
)

Settings = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """A run, or a checkpoint without its run.

    Args:
        name: Name of the folder below lightning_logs, or else the path.
        path: The checkpoint to measure, the best if there is one.
        folder: The run folder; None for a checkpoint outside of one.
        seed: Seed of the run.
        step: Optimiser steps of the checkpoint.
        settings: Settings by dotted key, without the seed and without those that have no effect on the weights.
        digest: Digest of the training items.
        note: What is odd about the run; empty if nothing is.
        foreign_classes: Trusted classes of other packages, by setting.
    """

    name: str
    path: Path
    folder: Path | None
    seed: int
    step: int
    settings: Settings
    digest: str
    note: str
    foreign_classes: dict[str, str]

    @property
    def bare_name(self) -> str:
        """The name without folders, for files that are given away."""
        return _named(self.path).name


def _named(path: Path) -> Path:
    """The run folder of a checkpoint, or the checkpoint where that is not the one that `find_run` takes."""
    path, folder = path.absolute(), run_of(path)
    found = [] if folder is None else [file for kind in (BEST, LAST) if (file := checkpoint_of(folder, kind)).is_file()]
    return folder if folder is not None and found[:1] == [path] else path


def _name(path: Path) -> str:
    """Name of a run for people."""
    shown = Path(os.path.relpath(_named(path)))
    return str(shown.relative_to(LOGS) if shown.is_relative_to(LOGS) else shown)


def read_run(path: Path, trusted: str = "") -> Run:
    """Read the settings of a run from a checkpoint.

    Args:
        path: The checkpoint.
        trusted: Classes of other packages that the user names.

    Raises:
        UserError: If the checkpoint cannot be used.
    """
    source = checkpoint.read(path, trusted)
    settings = {"model": source.model, "data": source.data}
    settings |= {key: value for key, value in source.config.items() if key not in settings}
    return Run(
        name=_name(path),
        path=path,
        folder=run_of(path),
        seed=source.data["seed"],
        step=source.step,
        settings={key: value for key, value in flatten(settings) if _has_effect(key)},
        digest=checkpoint.digest(path),
        note=_unfinished(path, source.config),
        foreign_classes=checkpoint.foreign_classes(source.model),
    )


def _has_effect(key: str) -> bool:
    """Whether a setting can have an effect on the weights."""
    is_in_section = key.partition(".")[0] in _SECTIONS_WITHOUT_EFFECT or key.startswith("trainer.logger")
    return not is_in_section and key not in _SETTINGS_WITHOUT_EFFECT


def _unfinished(path: Path, config: Settings) -> str:
    """Say that a run has not done its steps; empty where it has, or where that is not known."""
    folder = run_of(path)
    last = None if folder is None else checkpoint_of(folder, LAST)
    wanted = config.get("trainer", {}).get("max_steps")
    if last is None or not last.is_file() or not isinstance(wanted, int):
        return ""
    done = checkpoint.load(last)["global_step"]
    return f"has done {done:,} of {wanted:,} steps" if done < wanted else ""


def grouping_key(run: Run) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Key that is equal for runs that differ in the seed alone; an absent setting is null."""
    settings = ((key, repr(value)) for key, value in run.settings.items() if key != _PATH and value is not None)
    return run.digest, tuple(sorted(settings))


@dataclass(frozen=True)
class Group:
    """Runs that differ in the seed alone.

    Args:
        name: A letter.
        runs: The runs.
    """

    name: str
    runs: list[Run]


def group_runs(runs: list[Run]) -> list[Group]:
    """Put runs that differ in the seed alone into one group, named A, B and so on.

    Raises:
        UserError: If two runs have the same settings and the same seed, or there are too many groups.
    """
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        group = groups.setdefault(grouping_key(run), [])
        twin = next((other for other in group if other.seed == run.seed), None)
        if twin is not None:
            raise UserError(
                f"{twin.name} and {run.name} have the same settings and the same seed, {run.seed}; leave one out, or "
                "train it with another --seed_everything"
            )
        group.append(run)
    return [Group(_letters(number), group) for number, group in enumerate(groups.values())]


def _letters(number: int) -> str:
    """A to Z, then AA, AB and so on."""
    rest, last = divmod(number, 26)
    return (_letters(rest - 1) if rest else "") + chr(ord("A") + last)


def differing_settings(groups: list[Group]) -> dict[str, list[Any]]:
    """The value that each group has for each setting that differs; None where a group does not have the setting.

    Where classes differ, an argument that only some of them have is left out if they agree on it.
    """
    firsts = [group.runs[0].settings for group in groups]
    has_same_items = len({group.runs[0].digest for group in groups}) == 1
    result = {}
    for key in dict.fromkeys(key for settings in firsts for key in settings):
        values = [settings.get(key) for settings in firsts]
        owner = f"{key.partition(_ARGUMENTS)[0]}.class_path"
        is_of_one_class = len({repr(settings.get(owner)) for settings in firsts}) == 1
        compared = values if is_of_one_class else [settings[key] for settings in firsts if key in settings]
        if any(value != compared[0] for value in compared) and not (key == _PATH and has_same_items):
            result[key] = values
    return result
