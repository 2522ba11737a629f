"""Whether tanh units still learn: one that answers close to -1 or 1 passes back next to no gradient."""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:  # see embedding
    from matplotlib.figure import Figure

SATURATED = 0.97  # answers beyond it, of either sign, pass back less than 6% of the gradient
_MAX_LAYERS = 8  # drawn; more would make a poster
_MAX_EXAMPLES = 100  # rows of a black and white picture


def saturated_share(activations: Tensor) -> float:
    """Share of activations (n, H) that are saturated."""
    return float((activations.abs() > SATURATED).double().mean())


def activation_histograms(layers: dict[str, Tensor]) -> "Figure":
    """Histogram of each layer's activations, and below it who is saturated by which example, white on black.

    Args:
        layers: Activations (n, H) in [-1, 1] by name of the layer, at least one.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    shown = dict(list(layers.items())[:_MAX_LAYERS])
    figure = Figure(figsize=(11, 4 + 2.6 * len(shown)), layout="constrained")
    heights = [4.0] + [2.6] * len(shown)
    top, *below = figure.subplots(len(shown) + 1, 1, height_ratios=heights, squeeze=False)[:, 0]
    for (name, values), axes in zip(shown.items(), below, strict=True):
        share, saturated = saturated_share(values), (values.abs() > SATURATED).numpy()
        density, edges = np.histogram(values.float().numpy(), bins=50, range=(-1, 1), density=True)
        top.plot((edges[1:] + edges[:-1]) / 2, density, label=f"{name}: {share:.1%} saturated")
        axes.imshow(saturated[:_MAX_EXAMPLES], cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        always = int(saturated.all(0).sum())
        axes.set_title(f"{name}: white where saturated; {always} of {values.shape[1]} units always are", fontsize=10)
        axes.set(xlabel="unit", ylabel="example")
    top.axvspan(-1, -SATURATED, color="#fdae6b", alpha=0.5, linewidth=0)
    top.axvspan(SATURATED, 1, color="#fdae6b", alpha=0.5, linewidth=0, label=f"saturated: beyond {SATURATED}")
    left_out = f", the first {len(shown)} of {len(layers)} layers" if len(shown) < len(layers) else ""
    top.set(title=f"activations on dev words{left_out}", xlabel="activation", ylabel="density", xlim=(-1, 1))
    top.legend()
    top.grid(alpha=0.3)
    return figure
