"""Pictures as matplotlib figures that need no display, one family a file."""

from mm_lightning.plots.activations import SATURATED, activation_histograms, saturated_share
from mm_lightning.plots.bigrams import bigram_heat_map
from mm_lightning.plots.curves import Curve, loss_curves, smoothed
from mm_lightning.plots.embedding import embedding_scatter
from mm_lightning.plots.updates import update_curves

__all__ = [
    "SATURATED",
    "Curve",
    "activation_histograms",
    "bigram_heat_map",
    "embedding_scatter",
    "loss_curves",
    "saturated_share",
    "smoothed",
    "update_curves",
]
