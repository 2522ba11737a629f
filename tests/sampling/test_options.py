"""The options of sampling: values out of range and contradictions."""

from typing import Any

import pytest

from mm_lightning import UserError
from mm_lightning.sampling import SamplingOptions


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "sampling.num_samples is 0; it must be at least 1"),
        ({"temperature": -0.1}, "sampling.temperature is -0.1; it must be 0 or more"),
        ({"temperature": float("nan")}, "sampling.temperature is nan"),
        ({"temperature": float("inf")}, "sampling.temperature is inf"),
        ({"top_k": 0}, "sampling.top_k is 0; it must be at least 1"),
        ({"top_p": 0.0}, "sampling.top_p is 0.0; it must be above 0"),
        ({"top_p": 1.01}, "sampling.top_p is 1.01; it must be above 0 and at most 1"),
        ({"top_p": float("nan")}, "sampling.top_p is nan"),
        ({"min_length": -1}, "sampling.min_length is -1"),
        ({"max_length": 0}, "sampling.max_length is 0"),
        ({"min_length": 5, "max_length": 4}, r"sampling.max_length is 4; .*min_length \(5\)"),
        ({"seed": -1}, "sampling.seed is -1"),
    ],
)
def test_a_value_out_of_range_is_an_error(settings: dict[str, Any], message: str):
    """Catches a mistyped option that gives no items, or an error of torch."""
    with pytest.raises(UserError, match=message):
        SamplingOptions(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 19}, r"sampling.beam is 19; it must be at least num_samples \(20\)"),
        ({"beam": 20, "temperature": 0.5}, r"sampling.temperature is 0.5, but sampling.beam \(20\) takes no samples"),
        ({"beam": 20, "top_k": 3}, "sampling.top_k is 3, but sampling.beam"),
        ({"beam": 20, "top_p": 0.5}, "sampling.top_p is 0.5, but sampling.beam"),
    ],
)
def test_a_setting_that_beam_search_ignores_is_an_error(settings: dict[str, Any], message: str):
    """Catches a setting that is ignored silently."""
    with pytest.raises(UserError, match=message):
        SamplingOptions(**settings)
