"""Update-to-data ratios: the size of optimiser updates relative to the weights."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # see embedding
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_GUIDE_LOG10 = -3.0  # the ratio that the lectures recommend
_MAX_LINES = 10  # colours that differ; more matrices become rows of a heat map


def update_curves(ratios: dict[str, NDArray[np.float64]], first_step: int, title: str) -> "Figure":
    """Update-to-data ratio over steps: one line per matrix, or one row of a heat map per matrix if there are many.

    Args:
        ratios: (n,) log10 of the ratio at each step, by name of the matrix, at least one matrix.
        first_step: Number of the first step.
        title: Description of the steps.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    has_lines = len(ratios) <= _MAX_LINES
    figure = Figure(figsize=(11, 6 if has_lines else 2 + 0.28 * len(ratios)), layout="constrained")
    axes = figure.subplots()
    axes.set(title=f"update-to-data ratio, log10; beside each name the mean\n{title}", xlabel="optimiser steps")
    (_add_lines if has_lines else _add_rows)(axes, ratios, first_step)
    return figure


def _add_lines(axes: "Axes", ratios: dict[str, NDArray[np.float64]], first_step: int) -> None:
    """Add a line for each matrix, and a dashed line for the guide."""
    for name, values in ratios.items():
        axes.plot(np.arange(first_step, first_step + len(values)), values, linewidth=1, label=_label(name, values))
    axes.axhline(_GUIDE_LOG10, color="black", linestyle="--", linewidth=1, label=f"guide, {_GUIDE_LOG10:.0f}")
    axes.set_ylabel("log10 of std(update) / std(weight)")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _add_rows(axes: "Axes", ratios: dict[str, NDArray[np.float64]], first_step: int) -> None:
    """Add a row for each matrix: white at the guide, red above, blue below."""
    table = np.stack(list(ratios.values()))
    image = axes.imshow(
        table,
        cmap="RdBu_r",
        vmin=_GUIDE_LOG10 - 2,
        vmax=_GUIDE_LOG10 + 2,
        aspect="auto",
        interpolation="nearest",
        extent=(first_step - 0.5, first_step + table.shape[1] - 0.5, len(table) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(table)), [_label(name, values) for name, values in ratios.items()], fontsize=9)
    axes.figure.colorbar(image, ax=axes, label=f"log10 of std(update) / std(weight); white is {_GUIDE_LOG10:.0f}")


def _label(name: str, values: NDArray[np.float64]) -> str:
    """Name of a matrix with the mean of its values (n,)."""
    return f"{name}: {np.mean(values):.2f}"
