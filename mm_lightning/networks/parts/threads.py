"""The number of CPU threads for work that is too small to share."""

import os

import torch

_SMALL_MULTIPLY_ADDS = 50_000_000  # of a step; below, a second thread costs more than it saves


def use_one_thread_if_small(multiply_adds: float) -> bool:
    """Set one CPU thread for steps of this size if they are small; the variable OMP_NUM_THREADS overrides.

    Returns:
        Whether the number was set.
    """
    is_small = multiply_adds < _SMALL_MULTIPLY_ADDS and "OMP_NUM_THREADS" not in os.environ
    if is_small:
        torch.set_num_threads(1)
    return is_small
