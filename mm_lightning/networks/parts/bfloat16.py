"""Whether a processor computes with bfloat16 numbers."""

from functools import cache

import torch


@cache
def has_bfloat16() -> bool:
    """Whether torch has products of bfloat16 numbers for this processor: with AVX-512, AMX, or those of newer ARMs.

    Without them a step takes some ten times as long as with float32.
    """
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call] # torch's own
    return bool(has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported())
