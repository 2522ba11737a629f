"""Labels that can be read: characters which the font has, at places of their own."""

import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_CIRCLE = "\u25cc"  # stands for the letter that a combining mark belongs to
_MARGIN = 0.05  # of a label's room, left between those that were pushed: to touch is to be pushed for ever
_ROUNDS = 1000  # of pushing; twenty labels of one place in a heap of sixty settle in fewer


def drawable(symbols: Iterable[str]) -> list[str]:
    """Symbols as matplotlib's font can show them: by its code point a character that it lacks, on a circle a mark."""
    from matplotlib.font_manager import FontProperties, findfont, get_font  # noqa: PLC0415 # takes half a second

    known = get_font(findfont(FontProperties())).get_charmap()

    def draw(symbol: str) -> str:
        if unicodedata.combining(symbol[0]):
            symbol = _CIRCLE + symbol
        return "".join(c if ord(c) in known else f"U+{ord(c):04X}" for c in symbol)  # not the box for what is missing

    return [draw(symbol) for symbol in symbols]


def spread(points: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centres (n, 2) for boxes of these sizes (n, 2), near their points (n, 2), of which none covers another.

    Boxes that overlap are pushed apart along the axis on which they do so least, until none does.
    """
    centres = points.copy()
    room = (sizes[:, None] + sizes[None]) / 2  # (n, n, 2)
    order = np.sign(np.arange(len(points))[:, None] - np.arange(len(points)))[..., None]  # parts equal points
    others = ~np.eye(len(points), dtype=bool)
    for _ in range(_ROUNDS):
        away = centres[:, None] - centres[None]
        overlap = room - np.abs(away)
        touching = np.all(overlap > 0, axis=2) & others
        if not touching.any():
            break
        least = overlap == overlap.min(2, keepdims=True)
        distance = (overlap + _MARGIN * room) * least * touching[:, :, None]
        push = np.where(away == 0, order, np.sign(away)) * distance
        centres += push.sum(1) / (1 + touching.sum(1, keepdims=True))  # half of it where there are two
    return centres
