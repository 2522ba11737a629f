"""Loss curves of a run, read from the event files for TensorBoard, or from the table of a CSVLogger."""

import csv
import logging
from collections.abc import Iterable
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

import numpy as np

from mm_lightning.plots import Curve

_TAGS = ("train/loss", "val/loss")


def logged_losses(run: Path) -> dict[str, Curve]:
    """Read `train/loss` and `val/loss` of a run, by tag; a tag without points is left out.

    A resumed run repeats steps of a killed one; the later value counts. Values without a logarithm are left out.

    Args:
        run: Run folder.
    """
    from tensorboard.backend.event_processing import event_accumulator  # noqa: PLC0415 # takes a second

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # hiding the last points of a killed run is intended
    accumulator = event_accumulator.EventAccumulator(str(run), size_guidance={"scalars": 0})  # 0: keep all
    accumulator.Reload()
    points = _table(run / "metrics.csv")
    for tag in set(_TAGS).intersection(accumulator.Tags()["scalars"]):
        points[tag] = [(event.step, event.value) for event in accumulator.Scalars(tag)]
    return {tag: curve for tag, values in points.items() if len((curve := _curve(values)).steps)}


def _table(path: Path) -> dict[str, list[tuple[int, float]]]:
    """The points of each tag in the table of a CSVLogger; none without a table, and none of a damaged row."""
    result: dict[str, list[tuple[int, float]]] = {}
    with suppress(FileNotFoundError), path.open(encoding="utf-8", newline="", errors="replace") as file:
        for row in csv.DictReader(file):
            for tag in filter(row.get, _TAGS):
                with suppress(ValueError, TypeError, KeyError):
                    point = int(row["step"]), float(row[tag])
                    result.setdefault(tag, []).append(point)
    return result


def _curve(values: Iterable[tuple[int, float]]) -> Curve:
    points = dict(sorted(((step, value) for step, value in values if 0 < value < float("inf")), key=itemgetter(0)))
    return Curve(np.array(list(points), np.int64), np.array(list(points.values())))
