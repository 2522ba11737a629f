"""The embedding table as points, as the second lecture draws it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm_lightning.plots.labels import drawable, spread

if TYPE_CHECKING:  # matplotlib takes most of a second to import, and most commands draw nothing
    from matplotlib.figure import Figure

_MAX_LABELS = 100  # more would cover each other
_FEW_LABELS = 40  # which have room in a small figure
_EM = 0.115  # inches that a character of a label takes in width
_LINE = 0.3  # and a label in height


def embedding_scatter(weight: Tensor, symbols: Sequence[str]) -> "Figure":
    """Scatter of embedding rows with their symbols as labels; of very many rows the first are labelled.

    A label that would cover another stands beside its point, at the end of a line.

    Args:
        weight: (V, E) rows of the table; two columns are drawn as they are, more by their first principal components.
        symbols: V labels.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    points, title = _in_two_dimensions(weight.detach().double().cpu())
    labels = drawable(symbols[:_MAX_LABELS])
    side = 8.0 if len(labels) <= _FEW_LABELS else 12.0  # inches
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    labelled, others = points[: len(labels)], points[len(labels) :]
    if len(others):
        axes.scatter(others[:, 0], others[:, 1], s=4, color="#bdbdbd")
        title += f"\nthe first {len(labelled)} of {len(points):,} rows have labels"
    axes.scatter(labelled[:, 0], labelled[:, 1], s=9, color="#08519c")
    scale = np.ptp(points, axis=0).clip(min=1e-9) / (0.85 * side)  # units of the table an inch
    sizes = np.array([[_EM * (len(label) + 1), _LINE] for label in labels])
    for label, point, place in zip(labels, labelled, spread(labelled / scale, sizes) * scale, strict=True):
        axes.annotate(
            label,
            point,
            place,
            ha="center",
            va="center",
            parse_math=False,
            fontsize=12,
            arrowprops={"arrowstyle": "-", "color": "#6baed6", "shrinkA": 0, "shrinkB": 0},
            bbox={"boxstyle": "round,pad=0.2", "facecolor": "#c6dbef", "edgecolor": "none"},
        )
        axes.update_datalim([place])
    axes.autoscale_view()
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return figure


def _in_two_dimensions(points: Tensor) -> tuple[NDArray[np.float64], str]:
    """Points (V, 2) of rows (V, E), and what they are."""
    width = points.shape[1]
    if width == 1:
        return torch.cat([points, torch.zeros_like(points)], 1).numpy(), "embedding of 1 dimension"
    if width == 2:
        return points.numpy(), "embedding"
    centred = points - points.mean(0)
    _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
    share = float(sizes[:2].square().sum() / sizes.square().sum())
    title = f"embedding of {width} dimensions, first two components ({share:.0%} of the variance)"
    return (centred @ directions[:2].T).numpy(), title
