"""How large optimiser steps are beside the weights that they change."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # see embedding
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GUIDE = -3.0  # log10 of the ratio that the lectures call about right
_MAX_LINES = 10  # told apart by colour; more become the rows of a heat map


def update_curves(ratios: dict[str, NDArray[np.float64]], first_step: int, title: str) -> "Figure":
    """Update-to-data ratio along some steps: a line a matrix where they are few, else a row.

    Args:
        ratios: (n,) log10 of the ratio at each step, by name of the matrix, at least one.
        first_step: Number of the first step.
        title: What steps these are.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    few = len(ratios) <= _MAX_LINES
    figure = Figure(figsize=(11, 6 if few else 2 + 0.28 * len(ratios)), layout="constrained")
    axes = figure.subplots()
    axes.set(title=f"update-to-data ratio, log10; beside each name the mean\n{title}", xlabel="optimiser steps")
    (_draw_lines if few else _draw_rows)(axes, ratios, first_step)
    return figure


def _draw_lines(axes: "Axes", ratios: dict[str, NDArray[np.float64]], first_step: int) -> None:
    for name, values in ratios.items():
        axes.plot(np.arange(first_step, first_step + len(values)), values, linewidth=1, label=_label(name, values))
    axes.axhline(GUIDE, color="black", linestyle="--", linewidth=1, label=f"guide, {GUIDE:.0f}")
    axes.set_ylabel("log10 of std(update) / std(weight)")
    axes.grid(alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_rows(axes: "Axes", ratios: dict[str, NDArray[np.float64]], first_step: int) -> None:
    """White is the guide, red above it, blue below."""
    table = np.stack(list(ratios.values()))
    image = axes.imshow(
        table,
        cmap="RdBu_r",
        vmin=GUIDE - 2,
        vmax=GUIDE + 2,
        aspect="auto",
        interpolation="nearest",
        extent=(first_step - 0.5, first_step + table.shape[1] - 0.5, len(table) - 0.5, -0.5),
    )
    axes.set_yticks(range(len(table)), [_label(name, values) for name, values in ratios.items()], fontsize=9)
    axes.figure.colorbar(image, ax=axes, label=f"log10 of std(update) / std(weight); white is {GUIDE:.0f}")


def _label(name: str, values: NDArray[np.float64]) -> str:
    return f"{name}: {np.mean(values):.2f}"
