"""Figures of matplotlib as pure functions, one kind a file; they need no display."""

from mm_lightning.plots.activations import SATURATION_THRESHOLD, activation_histograms, saturated_share
from mm_lightning.plots.bigrams import bigram_heat_map
from mm_lightning.plots.curves import Curve, compared_curves, loss_curves, moving_mean
from mm_lightning.plots.embedding import embedding_scatter
from mm_lightning.plots.lr_range import range_test_curve
from mm_lightning.plots.updates import update_curves

__all__ = [
    "SATURATION_THRESHOLD",
    "Curve",
    "activation_histograms",
    "bigram_heat_map",
    "compared_curves",
    "embedding_scatter",
    "loss_curves",
    "moving_mean",
    "range_test_curve",
    "saturated_share",
    "update_curves",
]
