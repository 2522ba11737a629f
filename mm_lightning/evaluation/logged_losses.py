"""Loss curves of a run, read from the event files that the run writes for TensorBoard."""

import logging
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
    curves = {}
    for tag in set(_TAGS).intersection(accumulator.Tags()["scalars"]):
        events = accumulator.Scalars(tag)
        points = dict(sorted((event.step, event.value) for event in events if 0 < event.value < float("inf")))
        if points:
            curves[tag] = Curve(np.array(list(points), np.int64), np.array(list(points.values())))
    return curves
