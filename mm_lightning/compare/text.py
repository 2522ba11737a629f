"""The comparison as text: groups, settings that differ, losses, quality, and a judgement of each difference."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mm_lightning.compare.measuring import Measures
from mm_lightning.compare.runs import Group, Run, differing_settings
from mm_lightning.compare.spread import Judgement, Spread, judge
from mm_lightning.evaluation.comparison import formatted
from mm_lightning.evaluation.text_table import aligned
from mm_lightning.export.facts import Loss

_MAX_VALUE_WIDTH = 40  # characters
_MAX_SETTINGS_OF_LABEL = 3
_MIN_SHOWN_P = 0.0001
_HIDDEN_MEASURES = ("words", "edits_of")  # the same in each run

Column = Callable[[Measures], float | None]


@dataclass(frozen=True)
class MeasuredGroup:
    """Runs that differ in the seed alone, and what was measured.

    Args:
        group: The runs.
        measures: Measures of each run.
    """

    group: Group
    measures: list[Measures]

    @property
    def task(self) -> tuple[str, ...]:
        """Data and units, equal for all runs of a group."""
        return self.measures[0].task

    @property
    def has_one_seed(self) -> bool:
        """Whether the spread over seeds is not known."""
        return len(self.measures) == 1 and not self.measures[0].is_counted

    def spread(self, column: Column) -> Spread | None:
        """The values of a measure over seeds; None if a run does not have the measure."""
        values = [column(measures) for measures in self.measures]
        known = tuple(value for value in values if value is not None)
        return Spread(known, self.measures[0].is_counted) if len(known) == len(values) else None


def _loss(split: str, part: str) -> Column:
    def column(measures: Measures) -> float | None:
        loss: Loss | None = measures.losses.get(split)
        value: float | None = None if loss is None else getattr(loss, part)
        return value

    return column


def loss_columns(has_test: bool) -> dict[str, Column]:
    """The losses to show, by name."""
    splits = ("dev", "test") if has_test else ("dev",)
    parts = {"": "all", ", unseen": "unseen"}
    return {f"{split}{name}": _loss(split, part) for split in splits for name, part in parts.items()}


def value_text(value: Any) -> str:
    """A setting in short."""
    text = "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _MAX_VALUE_WIDTH else f"{text[:_MAX_VALUE_WIDTH]}..."


def label(group: Group, settings: dict[str, list[Any]], number: int) -> str:
    """The name of a group with the first settings that differ, for a legend."""
    values = {key: value_text(value[number]) for key, value in settings.items() if value[number] is not None}
    shown = [
        value.rpartition(".")[2] if key.endswith(".class_path") else f"{key.rpartition('.')[2]} {value}"
        for key, value in values.items()
    ]
    return f"{group.name}: {', '.join(shown[:_MAX_SETTINGS_OF_LABEL])}" if shown else group.name


def _runs(groups: Sequence[Group]) -> list[str]:
    rows = [
        [group.name, ", ".join(run.name for run in group.runs), ", ".join(str(run.seed) for run in group.runs)]
        for group in groups
    ]
    notes = [f"{run.name} {run.note}" for group in groups for run in group.runs if run.note]
    return [*aligned([["group", "runs", "seeds"], *rows], num_left=3), *notes]


def _settings(groups: Sequence[Group]) -> list[str]:
    settings = differing_settings(list(groups))
    if not settings:
        return ["no setting differs but the seed"]
    rows = [[key, *map(value_text, values)] for key, values in settings.items()]
    return aligned([["settings that differ", *(group.name for group in groups)], *rows], num_left=1)


def _with_spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    deviation = f" ± {math.sqrt(spread.variance):.4f}" if spread.variance is not None and not spread.is_fixed else ""
    return f"{spread.mean:.4f}{deviation}"


def _steps(runs: Sequence[Run]) -> str:
    low, high = (function(run.step for run in runs) for function in (min, max))
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def loss_note(groups: Sequence[MeasuredGroup]) -> str:
    """How items count in the losses of groups, for a title; empty where each counts once in all of them."""
    notes: dict[str, list[str]] = {}
    for each in groups:
        notes.setdefault(each.measures[0].loss_note, []).append(each.group.name)
    if len(notes) == 1:
        return next(iter(notes))
    return "; ".join(f"of {', '.join(names)} {note or 'unweighted'}" for note, names in notes.items())


def _losses(groups: Sequence[MeasuredGroup], columns: dict[str, Column]) -> list[str]:
    note = loss_note(groups)
    rows = [
        [
            each.group.name,
            str(len(each.measures)),
            f"{each.measures[0].num_weights:,}",
            _steps(each.group.runs),
            *(_with_spread(each.spread(column)) for column in columns.values()),
        ]
        for each in groups
    ]
    return [
        f"loss in nats per target{note and f', {note}'}: mean ± standard deviation over seeds",
        *aligned([["group", "seeds", "weights", "step", *columns], *rows], num_left=1),
    ]


def _quality(groups: Sequence[MeasuredGroup]) -> list[str]:
    names = [name for name in groups[0].measures[0].quality if name not in _HIDDEN_MEASURES]
    if not names:
        return []
    rows = []
    for name in names:
        spreads = [each.spread(lambda measures, name=name: measures.quality[name]) for each in groups]  # type: ignore[misc]
        rows.append([name, *(formatted(name, None if spread is None else spread.mean) for spread in spreads)])
    header = ["quality", *(each.group.name for each in groups)]
    num_samples = groups[0].measures[0].quality["words"]
    return ["", f"{num_samples:,} samples of each run, mean over seeds", *aligned([header, *rows], num_left=1)]


def _other_data(groups: Sequence[MeasuredGroup]) -> list[str]:
    """Lines on the groups whose losses cannot be compared."""
    tasks: dict[tuple[str, ...], list[str]] = {}
    for each in groups:
        tasks.setdefault(each.task, []).append(each.group.name)
    if len(tasks) == 1:
        return []
    sides = "; ".join(", ".join(names) for names in tasks.values())
    return [f"not comparable: the data, the split or the tokens differ between {sides}"]


def _sentence(name: str, pair: tuple[MeasuredGroup, MeasuredGroup], found: Judgement, num_pairs: int) -> str:
    """Judge a difference in words."""
    lower, higher = pair if found.difference >= 0 else pair[::-1]
    start = f"{name}: {higher.group.name} is {abs(found.difference):.4f} above {lower.group.name}"
    if found.p is None:
        return f"{start}; one seed cannot tell whether that is more than the spread of seeds: train with fit --seeds 3"
    p = f"p = {found.p:.2g}" if found.p >= _MIN_SHOWN_P else f"p < {_MIN_SHOWN_P}"
    p += f" over {num_pairs} pairs" if num_pairs > 1 else ""
    if single := [each.group.name for each in pair if each.has_one_seed]:
        other = next(each.group.name for each in pair if each.group.name not in single)
        p += f", by the spread of {other}, as {single[0]} has one seed"
    verdict = "more than" if found.is_more else "no more than"
    return f"{start}, {verdict} the spread of seeds ({p})"


def _not_finite(name: str, column: Column, each: MeasuredGroup) -> list[str]:
    """Lines on the runs of a group whose loss is not finite."""
    lines = []
    for run, measures in zip(each.group.runs, each.measures, strict=True):
        loss = column(measures)
        if loss is not None and not math.isfinite(loss):
            is_infinite = loss == math.inf
            reason = "gives an item probability 0, so its loss is infinite" if is_infinite else f"has a loss of {loss}"
            lines.append(f"{name}: {run.name} of {each.group.name} {reason} and cannot be compared")
    return lines


def _judgements(groups: Sequence[MeasuredGroup], columns: dict[str, Column]) -> list[str]:
    """Judge the groups of the same data against the best of them."""
    lines = []
    for task in dict.fromkeys(each.task for each in groups):
        own = [each for each in groups if each.task == task]
        for name, column in columns.items():
            lines += [line for each in own for line in _not_finite(name, column, each)]
            known = [(each, spread) for each in own if (spread := each.spread(column)) is not None]
            spreads = sorted((pair for pair in known if math.isfinite(pair[1].mean)), key=lambda pair: pair[1].mean)
            num_pairs = math.comb(len(spreads), 2)
            for each, spread in spreads[1:]:
                best, lowest = spreads[0]
                found = judge(lowest, spread, num_pairs)
                lines.append(_sentence(name, (best, each), found, num_pairs))
    return lines


def as_text(groups: Sequence[MeasuredGroup], has_test: bool) -> str:
    """Format the whole comparison."""
    columns = loss_columns(has_test)
    bare = [each.group for each in groups]
    judgements = [*_other_data(groups), *_judgements(groups, columns)]
    parts = [_runs(bare), [""], _settings(bare), [""], _losses(groups, columns), _quality(groups)]
    lines = [line for part in parts for line in part]
    return "\n".join([*lines, "", *judgements] if judgements else lines)
