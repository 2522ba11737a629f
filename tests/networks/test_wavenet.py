"""The WaveNet-like network."""

import pytest
from eight_names import V

from mm_lightning.networks import WaveNet


@pytest.mark.parametrize("block_size", [1, 6, 12])
def test_a_context_that_is_no_power_of_two_is_an_error(block_size: int):
    """Catches a window whose last positions are dropped because they have no partner."""
    with pytest.raises(ValueError, match=f"block_size is {block_size}; .* power of 2"):
        WaveNet(V, block_size=block_size)
