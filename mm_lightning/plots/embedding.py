"""Embedding rows as labelled points, as in the second lecture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm_lightning.plots.labels import displayable, separated_centres

if TYPE_CHECKING:  # matplotlib takes most of a second to import, and most commands plot nothing
    from matplotlib.figure import Figure

_MAX_LABELS = 100  # more would cover each other
_MAX_LABELS_OF_SMALL_FIGURE = 40
_SMALL_SIDE_INCHES, _LARGE_SIDE_INCHES = 8.0, 12.0
_CHARACTER_INCHES = 0.115  # width of one character of a label
_LABEL_INCHES = 0.3  # height of a label


def embedding_scatter(weight: Tensor, symbols: Sequence[str]) -> "Figure":
    """Scatter of embedding rows with their symbols as labels; of very many rows only the first have labels.

    A label that would cover another stands beside its point and is joined to the point by a line.

    Args:
        weight: (V, E) rows. Two dimensions are shown as they are, more by their first two principal components.
        symbols: V labels.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    points, title = _in_two_dimensions(weight.detach().cpu().double())
    labels = displayable(symbols[:_MAX_LABELS])
    side = _SMALL_SIDE_INCHES if len(labels) <= _MAX_LABELS_OF_SMALL_FIGURE else _LARGE_SIDE_INCHES
    figure = Figure(figsize=(side, side))
    margins = {"left": 0.09, "right": 0.98, "bottom": 0.06, "top": 0.92}  # a computed layout draws the figure twice
    axes = figure.subplots(gridspec_kw=margins)
    labelled, others = points[: len(labels)], points[len(labels) :]
    if len(others):
        axes.scatter(others[:, 0], others[:, 1], s=4, color="#bdbdbd")
        title += f"\nthe first {len(labelled)} of {len(points):,} rows have labels"
    axes.scatter(labelled[:, 0], labelled[:, 1], s=9, color="#08519c")
    units_per_inch = np.ptp(points, axis=0).clip(min=1e-9) / (0.85 * side)  # 0.85: the axes' part of the figure
    sizes = np.array([[_CHARACTER_INCHES * (len(label) + 1), _LABEL_INCHES] for label in labels])
    centres = separated_centres(labelled / units_per_inch, sizes) * units_per_inch
    for label, point, centre in zip(labels, labelled, centres, strict=True):
        axes.annotate(
            label,
            point,
            centre,
            ha="center",
            va="center",
            parse_math=False,
            fontsize=12,
            arrowprops={"arrowstyle": "-", "color": "#6baed6", "shrinkA": 0, "shrinkB": 0},
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "#c6dbef", "edgecolor": "none"},
        )
        axes.update_datalim([centre])
    axes.autoscale_view()
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return figure


def _in_two_dimensions(rows: Tensor) -> tuple[NDArray[np.float64], str]:
    """Points (V, 2) of rows (V, E), and the title of the figure."""
    dimensions = rows.shape[1]
    if dimensions == 1:
        return torch.cat([rows, torch.zeros_like(rows)], 1).numpy(), "embedding of 1 dimension"
    if dimensions == 2:
        return rows.numpy(), "embedding"
    centred = rows - rows.mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    share = float(sizes[:2].square().sum() / sizes.square().sum())
    title = f"embedding of {dimensions} dimensions, first two components ({share:.0%} of the variance)"
    return (centred @ directions[:2].T).numpy(), title
