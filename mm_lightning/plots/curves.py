"""Loss curves of a run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mm_lightning.plots.labels import as_plain_text

if TYPE_CHECKING:  # see embedding
    from matplotlib.figure import Figure

_POINTS_PER_NEIGHBOUR = 80  # points of a curve for each neighbour, on either side, in its moving mean


class Curve(NamedTuple):
    """A loss at several steps.

    Args:
        steps: (n,) optimiser steps done, rising.
        losses: (n,) nats per target, finite and above 0.
    """

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]


def moving_mean(values: NDArray[np.float64], num_neighbours: int) -> NDArray[np.float64]:
    """Moving mean (n,): each value is averaged with its neighbours on both sides.

    At the ends, fewer neighbours exist. A mean of past values only would lag behind.

    Args:
        values: (n,) values.
        num_neighbours: Neighbours on either side.
    """
    indices = np.arange(len(values))
    starts, ends = np.maximum(indices - num_neighbours, 0), np.minimum(indices + num_neighbours + 1, len(values))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    result: NDArray[np.float64] = (sums[ends] - sums[starts]) / (ends - starts)
    return result


def loss_curves(train: Curve, val: Curve | None, step: int, note: str = "") -> "Figure":
    """Plot log10 of the losses over steps, the training loss raw and smoothed; a second axis shows nats.

    Args:
        train: Loss of the training batches.
        val: Loss of the dev split; None if there was no validation.
        step: Step of the checkpoint.
        note: How items count in the losses, for the title.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    raw = np.log10(train.losses)
    num_neighbours = 1 + len(raw) // _POINTS_PER_NEIGHBOUR
    smoothed = moving_mean(raw, num_neighbours)
    axes.plot(train.steps, raw, color="#9ecae1", linewidth=0.8, label="train/loss")
    axes.plot(train.steps, smoothed, color="#08519c", label=f"mean of {2 * num_neighbours + 1} points")
    if val is not None:
        axes.plot(val.steps, np.log10(val.losses), "o-", color="#e6550d", markersize=4, label="val/loss")
    axes.axvline(step, color="#636363", linestyle=":", linewidth=1, label=f"checkpoint, step {step:,}")
    title = f"loss in nats per target{note and f', {note}'}"
    axes.set(title=as_plain_text(title), xlabel="optimiser steps", ylabel="log10 of the loss")
    axes.secondary_yaxis("right", functions=(_power_of_10, _log10)).set_ylabel("nats")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def compared_curves(groups: Mapping[str, Sequence[Curve]], title: str) -> "Figure":
    """Plot the loss curves of several groups of runs, each group in one colour.

    Args:
        groups: The curves of each group, by its label.
        title: Title of the figure.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    for number, (label, curves) in enumerate(groups.items()):
        for curve in curves:
            (line,) = axes.plot(curve.steps, curve.losses, "o-", markersize=3, linewidth=1, color=f"C{number % 10}")
        line.set_label(as_plain_text(label))  # one entry of the legend for a group
    axes.set(title=as_plain_text(title), xlabel="optimiser steps", ylabel="nats", yscale="log")
    axes.yaxis.set_major_formatter("{x:.4g}")
    axes.yaxis.set_minor_formatter("{x:.4g}")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    return figure


def _power_of_10(exponent: ArrayLike) -> ArrayLike:
    result: ArrayLike = np.power(10.0, np.asarray(exponent))
    return result


def _log10(loss: ArrayLike) -> ArrayLike:
    """Inverse of `_power_of_10`. Defined at 0 too, because matplotlib evaluates the second axis there."""
    result: ArrayLike = np.log10(np.maximum(np.asarray(loss), 1e-12))
    return result
