"""New words from a network, freely or under conditions."""

from mm_lightning.sampling.conditioned import ConditionedSampler
from mm_lightning.sampling.drawing import Sampler, probabilities, sample
from mm_lightning.sampling.options import BLOCK, SamplingOptions
from mm_lightning.sampling.selection import Selection

__all__ = ["BLOCK", "ConditionedSampler", "Sampler", "SamplingOptions", "Selection", "probabilities", "sample"]
