"""Bigram counts as a heat map, as in the first lecture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mm_lightning.plots.labels import as_plain_text, displayable

if TYPE_CHECKING:  # see embedding
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_ROWS_WITH_TEXT = 32  # more leave no room for bigram and count in a cell
_MAX_BIGRAM_CHARACTERS = 4  # that fit into a cell
_SIDE_INCHES = 12.0


def bigram_heat_map(counts: NDArray[np.int64], symbols: Sequence[str], title: str) -> "Figure":
    """Heat map of bigram counts; each cell of a small table also shows its bigram and its count.

    Args:
        counts: (V, V), the first symbol of a bigram down, the second across.
        symbols: V labels.
        title: Title of the figure.
    """
    from matplotlib.colors import PowerNorm  # noqa: PLC0415 # see above
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    labels = displayable(symbols)
    has_text = len(labels) <= _MAX_ROWS_WITH_TEXT
    width = _SIDE_INCHES if has_text else 1.1 * _SIDE_INCHES
    figure = Figure(figsize=(width, _SIDE_INCHES), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts, cmap="Blues", norm=PowerNorm(0.5))  # square root: a linear scale hides rare bigrams
    size = min(11.0, 0.62 * 72 * _SIDE_INCHES / len(labels))  # points, 72 an inch; 0.62 of a cell
    ticks = range(len(labels))
    axes.set_xticks(ticks, labels, fontsize=size, parse_math=False)
    axes.set_yticks(ticks, labels, fontsize=size, parse_math=False)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=2)
    for tick, label in zip(axes.xaxis.get_major_ticks(), labels, strict=True):
        tick.label2.set_rotation(90 if len(label) > 2 else 0)  # a combining mark on its circle has two characters
    axes.set(title=as_plain_text(title), ylabel="first", xlabel="second")
    axes.xaxis.set_label_position("top")
    if has_text:
        _write_cells(axes, counts, labels)
    else:
        figure.colorbar(image, ax=axes, shrink=0.4, aspect=40, label="count")
    return figure


def _write_cells(axes: "Axes", counts: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Write bigram and count into each cell."""
    is_dark = counts > counts.max() / 4
    for (i, j), count in np.ndenumerate(counts):
        style: dict[str, Any] = {
            "color": "white" if is_dark[i, j] else "#202020",
            "ha": "center",
            "fontsize": 7,
            "parse_math": False,
        }
        bigram, number = labels[i] + labels[j], _abbreviated(int(count))
        text = f"{bigram}\n{number}" if len(bigram) <= _MAX_BIGRAM_CHARACTERS else number
        cell = axes.text(j, i, text, **style)
        cell.set_in_layout(False)  # to measure hundreds of texts takes seconds


def _abbreviated(count: int) -> str:
    """The count in at most five characters, with a suffix such as k for thousands from 10,000 on."""
    thousands = 0
    while round(count / 1000**thousands) >= 10_000:
        thousands += 1
    return f"{count / 1000**thousands:.0f}{'kMGT'[thousands - 1 : thousands]}"
