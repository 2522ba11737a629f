"""The loss along a run."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:  # see embedding
    from matplotlib.figure import Figure

_POINTS = 80  # of a curve, for each neighbour that a point of the running mean has on either side


class Curve(NamedTuple):
    """A loss at some steps.

    Args:
        steps: (n,) optimiser steps done, rising.
        losses: (n,) nats per target, finite and above 0.
    """

    steps: NDArray[np.int64]
    losses: NDArray[np.float64]


def smoothed(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Mean (n,) of each value and this many neighbours on either side, at the ends of as many as there are.

    Both sides count alike, so the curve does not lag behind the values as a decaying mean does.
    """
    places = np.arange(len(values))
    begins, ends = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(values))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    result: NDArray[np.float64] = (sums[ends] - sums[begins]) / (ends - begins)
    return result


def loss_curves(train: Curve, val: Curve | None, step: int) -> "Figure":
    """The losses in log10, that of training raw and smoothed, on a second axis in nats.

    Args:
        train: Loss of the batches.
        val: Loss of the dev split, if there was any.
        step: Where the checkpoint stands.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.subplots()
    raw = np.log10(train.losses)
    reach = 1 + len(raw) // _POINTS
    axes.plot(train.steps, raw, color="#9ecae1", linewidth=0.8, label="train/loss")
    axes.plot(train.steps, smoothed(raw, reach), color="#08519c", label=f"mean of {2 * reach + 1} points")
    if val is not None:
        axes.plot(val.steps, np.log10(val.losses), "o-", color="#e6550d", markersize=4, label="val/loss")
    axes.axvline(step, color="#636363", linestyle=":", linewidth=1, label=f"checkpoint, step {step:,}")
    axes.set(title="loss in nats per target", xlabel="optimiser steps", ylabel="log10 of the loss")
    axes.secondary_yaxis("right", functions=(_power, _log10)).set_ylabel("nats")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _power(log10: ArrayLike) -> ArrayLike:
    result: ArrayLike = np.power(10.0, np.asarray(log10))
    return result


def _log10(loss: ArrayLike) -> ArrayLike:
    """The inverse of the second axis, which matplotlib tries at 0 too."""
    result: ArrayLike = np.log10(np.maximum(np.asarray(loss), 1e-12))
    return result
