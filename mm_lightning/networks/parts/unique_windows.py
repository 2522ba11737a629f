"""Distinct windows of a batch: each is computed once."""

import torch
from torch import Tensor


def unique_windows(windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows (D, C) of windows (N, C), and the index (N,) of each window among them."""
    inverse = windows.new_zeros(len(windows))
    for column in windows.unbind(1):  # one column at a time: a number per whole window would overflow for large V ** C
        values, inverse = torch.unique(inverse * (column.max() + 1) + column, return_inverse=True)
    rows = torch.empty_like(values).scatter_(0, inverse, torch.arange(len(inverse), device=inverse.device))
    return windows[rows], inverse
