"""New items sampled from a network, with or without conditions."""

from mm_lightning.sampling.labels import BatchSampler, label_sampler
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.output import OutputFormat, Row
from mm_lightning.sampling.probabilities import probabilities
from mm_lightning.sampling.sampler import Sampler, sample
from mm_lightning.sampling.selection import Selection
from mm_lightning.sampling.strategy import ConditionalSampler

__all__ = [
    "SAMPLE_BATCH_SIZE",
    "BatchSampler",
    "ConditionalSampler",
    "OutputFormat",
    "Row",
    "Sampler",
    "SamplingOptions",
    "Selection",
    "label_sampler",
    "probabilities",
    "sample",
]
