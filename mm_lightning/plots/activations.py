"""Histograms of the activations of tanh units, and images of saturated units.

A saturated unit has an output near -1 or 1, and passes back almost no gradient.
"""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

if TYPE_CHECKING:  # see embedding
    from matplotlib.figure import Figure

SATURATION_THRESHOLD = 0.97  # absolute output; beyond it a unit passes back less than 6% of the gradient
_MAX_LAYERS = 8  # more make the figure too tall
_MAX_EXAMPLES = 100  # rows of a black and white image


def saturated_share(activations: Tensor) -> float:
    """Share of activations (n, H) that are saturated."""
    return float((activations.abs() > SATURATION_THRESHOLD).double().mean())


def activation_histograms(layers: dict[str, Tensor]) -> "Figure":
    """Plot a histogram of each layer's activations, and one image per layer with saturated activations in white.

    Args:
        layers: Activations (n, H) in [-1, 1] by name of the layer, at least one layer.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 # see above

    shown = dict(list(layers.items())[:_MAX_LAYERS])
    figure = Figure(figsize=(11, 4 + 2.6 * len(shown)), layout="constrained")
    heights = [4.0] + [2.6] * len(shown)
    top, *below = figure.subplots(len(shown) + 1, 1, height_ratios=heights, squeeze=False)[:, 0]
    for (name, values), axes in zip(shown.items(), below, strict=True):
        is_saturated = (values.abs() > SATURATION_THRESHOLD).numpy()
        density, edges = np.histogram(values.float().numpy(), bins=50, range=(-1, 1), density=True)
        top.plot((edges[1:] + edges[:-1]) / 2, density, label=f"{name}: {saturated_share(values):.1%} saturated")
        axes.imshow(is_saturated[:_MAX_EXAMPLES], cmap="gray", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        always = int(is_saturated.all(0).sum())
        axes.set_title(f"{name}: white where saturated; {always} of {values.shape[1]} units always are", fontsize=10)
        axes.set(xlabel="unit", ylabel="example")
    top.axvspan(-1, -SATURATION_THRESHOLD, color="#fdae6b", alpha=0.5, linewidth=0)
    label = f"saturated: beyond {SATURATION_THRESHOLD}"
    top.axvspan(SATURATION_THRESHOLD, 1, color="#fdae6b", alpha=0.5, linewidth=0, label=label)
    left_out = f", the first {len(shown)} of {len(layers)} layers" if len(shown) < len(layers) else ""
    top.set(title=f"activations on dev items{left_out}", xlabel="activation", ylabel="density", xlim=(-1, 1))
    top.legend()
    top.grid(alpha=0.3)
    return figure
