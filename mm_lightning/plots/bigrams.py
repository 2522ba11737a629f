"""The table of bigrams as a heat map, as the first lecture draws it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mm_lightning.plots.labels import drawable

if TYPE_CHECKING:  # see embedding
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_WRITTEN = 32  # rows of which every cell has room for its bigram and its count
_MAX_BIGRAM = 4  # characters of a bigram that fit into such a cell
_SIDE = 12.0  # inches


def bigram_heat_map(counts: NDArray[np.int64], symbols: Sequence[str], title: str) -> "Figure":
    """Heat map of how often each symbol follows each, with bigram and count in every cell of a small table.

    Args:
        counts: (V, V), the first symbol of a bigram down, the second across.
        symbols: V labels.
        title: What was counted.
    """
    from matplotlib.colors import PowerNorm  # noqa: PLC0415 # see above
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    labels = drawable(symbols)
    written = len(labels) <= _MAX_WRITTEN
    figure = Figure(figsize=(_SIDE if written else 1.1 * _SIDE, _SIDE), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts, cmap="Blues", norm=PowerNorm(0.5))  # by the root, or rare ones would all look alike
    size = min(11.0, 0.62 * 72 * _SIDE / len(labels))  # points; a cell is little more than that
    places = range(len(labels))
    axes.set_xticks(places, labels, fontsize=size, parse_math=False)
    axes.set_yticks(places, labels, fontsize=size, parse_math=False)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=2)
    for tick, label in zip(axes.xaxis.get_major_ticks(), labels, strict=True):
        tick.label2.set_rotation(90 if len(label) > 2 else 0)  # a mark on a circle is two characters
    axes.set(title=title, ylabel="first", xlabel="second")
    axes.xaxis.set_label_position("top")
    if written:
        _write_cells(axes, counts, labels)
    else:
        figure.colorbar(image, ax=axes, shrink=0.4, aspect=40, label="count")
    return figure


def _write_cells(axes: "Axes", counts: NDArray[np.int64], labels: Sequence[str]) -> None:
    dark = counts > counts.max() / 4
    for (i, j), count in np.ndenumerate(counts):
        style: dict[str, Any] = {
            "color": "white" if dark[i, j] else "#202020",
            "ha": "center",
            "fontsize": 7,
            "parse_math": False,
        }
        bigram, number = labels[i] + labels[j], _short(int(count))
        cell = axes.text(j, i, f"{bigram}\n{number}" if len(bigram) <= _MAX_BIGRAM else number, **style)
        cell.set_in_layout(False)  # or each would be measured, for seconds


def _short(count: int) -> str:
    """A count in at most five characters, in thousands or millions where it is longer."""
    thousands = 0
    while count >= 10_000 * 1000**thousands:
        thousands += 1
    return f"{count / 1000**thousands:.0f}{'kMGT'[thousands - 1 : thousands]}"
