"""The curve of a learning-rate range test."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # see embedding
    from matplotlib.figure import Figure


def range_test_curve(
    rates: NDArray[np.float64], losses: NDArray[np.float64], smoothed: NDArray[np.float64], suggestion: float
) -> "Figure":
    """Plot the loss, raw and smoothed, against log10 of the learning rate; a vertical line marks the suggestion.

    Args:
        rates: (n,) learning rates, rising.
        losses: (n,) nats per target.
        smoothed: (n,) smoothed losses.
        suggestion: Suggested learning rate.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    exponents = np.log10(rates)
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(exponents, losses, color="#9ecae1", linewidth=0.7, label="loss of each step's batch")
    axes.plot(exponents, smoothed, color="#08519c", linewidth=2, label="smoothed")
    axes.axvline(np.log10(suggestion), color="#d94801", linestyle="--", label=f"suggestion: {suggestion:.2g}")
    start, depth = smoothed[0], smoothed[0] - smoothed.min()
    axes.set_ylim(losses.min() - 0.1 * depth, start + 0.5 * depth)  # a divergent end would flatten the valley
    axes.set_xlabel("log10 of the learning rate")
    axes.set_ylabel("train loss, nats per target")
    axes.set_title(f"Learning-rate range test, {len(rates):,} steps")
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
