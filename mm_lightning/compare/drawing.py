"""The picture of a comparison: the curves of val/loss of all runs."""

import sys
from collections.abc import Sequence
from pathlib import Path

from mm_lightning import plots
from mm_lightning.compare.runs import differing_settings
from mm_lightning.compare.text import MeasuredGroup, label, loss_note
from mm_lightning.evaluation.logged_losses import logged_losses
from mm_lightning.files import write_atomically

_DPI = 150
_CURVE = "val/loss"


def draw(measured: Sequence[MeasuredGroup], output: Path) -> None:
    """Write the picture and print its path, and say which runs have no curve.

    Raises:
        UserError: If the picture cannot be written.
    """
    groups = [each.group for each in measured]
    settings = differing_settings(groups)
    curves, left_out = {}, []
    for number, group in enumerate(groups):
        logged = {run.name: {} if run.folder is None else logged_losses(run.folder) for run in group.runs}
        left_out += [name for name, losses in logged.items() if _CURVE not in losses]
        if found := [losses[_CURVE] for losses in logged.values() if _CURVE in losses]:
            curves[label(group, settings, number)] = found
    if curves:
        note = loss_note(measured)
        title = f"{_CURVE} of each run{note and f', {note}'}"
        with write_atomically(output, "output") as file:
            plots.compared_curves(curves, title).savefig(file, dpi=_DPI, format="png")
        print(output)
    if left_out:
        sys.stderr.write(f"without a curve of {_CURVE}: {', '.join(left_out)}\n")
