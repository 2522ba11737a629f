"""Pictures of what a network has learned, as matplotlib figures that need no display."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:  # matplotlib takes most of a second to import, and most commands draw nothing
    from matplotlib.figure import Figure

_MAX_LABELS = 100  # more would cover each other


def embedding_scatter(weight: Tensor, symbols: Sequence[str]) -> "Figure":
    """Scatter of embedding rows with their symbols as labels; of very many rows the first are labelled.

    Args:
        weight: (V, E) rows of the table; two columns are drawn as they are, more by their first principal components.
        symbols: V labels.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    points, title = weight.detach().float().cpu(), "embedding"
    if points.shape[1] > 2:
        centred = points - points.mean(0)
        _, sizes, directions = torch.linalg.svd(centred, full_matrices=False)
        points = centred @ directions[:2].T  # (V, 2)
        share = float(sizes[:2].square().sum() / sizes.square().sum())
        title = f"embedding of {weight.shape[1]} dimensions, first two components ({share:.0%} of the variance)"
    elif points.shape[1] == 1:
        points = torch.cat([points, torch.zeros_like(points)], 1)
    figure = Figure(figsize=(8, 8), layout="constrained")
    axes = figure.subplots()
    labelled, others = points[:_MAX_LABELS], points[_MAX_LABELS:]
    if len(others):
        axes.scatter(others[:, 0].tolist(), others[:, 1].tolist(), s=4, color="#bdbdbd")
        title += f"\nthe first {len(labelled)} of {len(points):,} rows have labels"
    axes.scatter(labelled[:, 0].tolist(), labelled[:, 1].tolist(), s=260, color="#9ecae1")
    for (x, y), symbol in zip(labelled.tolist(), symbols, strict=False):
        axes.annotate(symbol, (x, y), ha="center", va="center", parse_math=False)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    return figure
