"""Legible labels: characters that the font has, and boxes that do not overlap."""

import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_DOTTED_CIRCLE = "\u25cc"  # carries a combining mark in place of a letter
_GAP = 0.05  # fraction of the boxes' mean size; without a gap, boxes that touch are moved again and again
_MAX_ROUNDS = 1000  # twenty boxes at one point among sixty others need fewer


def displayable(symbols: Iterable[str]) -> list[str]:
    """Replace characters that matplotlib's font lacks by their code points, such as U+4E2D.

    A combining mark is shown on a dotted circle.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font  # noqa: PLC0415 # takes half a second

    known = get_font(findfont(FontProperties())).get_charmap()

    def displayed(symbol: str) -> str:
        if unicodedata.combining(symbol[0]):
            symbol = _DOTTED_CIRCLE + symbol
        return "".join(c if ord(c) in known else f"U+{ord(c):04X}" for c in symbol)

    return [displayed(symbol) for symbol in symbols]


def as_plain_text(text: str) -> str:
    """Text with names of a user's, such as a file's, for a title or a legend: matplotlib reads math between dollars."""
    return displayable([text])[0].replace("$", r"\$")


def separated_centres(points: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres (n, 2) of boxes that do not overlap, near their points.

    In each round, boxes that overlap move apart along the axis with the smaller overlap.

    Args:
        points: (n, 2) points.
        sizes: (n, 2) width and height of each box, in the unit of the points.
    """
    centres = points.copy()
    least_distance = (sizes[:, None] + sizes[None]) / 2  # (n, n, 2) between the centres of two boxes, on each axis
    order = np.sign(np.arange(len(points))[:, None] - np.arange(len(points)))[..., None]  # separates equal points
    is_other = ~np.eye(len(points), dtype=bool)
    for _ in range(_MAX_ROUNDS):
        distance = centres[:, None] - centres[None]
        overlap = least_distance - np.abs(distance)
        is_overlapping = np.all(overlap > 0, axis=2) & is_other
        if not is_overlapping.any():
            break
        is_smaller = overlap == overlap.min(2, keepdims=True)
        shift = (overlap + _GAP * least_distance) * is_smaller * is_overlapping[:, :, None]
        shift *= np.where(distance == 0, order, np.sign(distance))
        centres += shift.sum(1) / (1 + is_overlapping.sum(1, keepdims=True))  # two boxes: half the shift each
    return centres
