"""The options of sampling: contradictions."""

from typing import Any

import pytest

from mm_lightning import UserError
from mm_lightning.sampling.options import SamplingOptions


def test_lengths_that_exclude_each_other_are_an_error():
    """Catches a search for items that cannot exist."""
    with pytest.raises(UserError, match=r"sampling.max_length is 4; .*min_length \(5\)"):
        SamplingOptions(min_length=5, max_length=4)


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


def test_edits_without_a_word_are_an_error():
    """Catches a limit that nothing applies."""
    with pytest.raises(UserError, match=r"sampling\.edits is 2, but sampling\.near names no word"):
        SamplingOptions(edits=2)
