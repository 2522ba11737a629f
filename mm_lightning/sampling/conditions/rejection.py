"""Rejection sampling: sample without the condition, and drop the items that do not meet the condition."""

from dataclasses import replace
from functools import cached_property

from mm_lightning.networks.base import Network
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.sampler import Sampler


class RejectionSampler:
    """Exact sampler of any network's items under a condition; a batch has few items where the condition is rare.

    Args:
        network: The network; in eval mode for `sample_batch`.
        condition: The condition.
        options: The sampling options.
    """

    def __init__(self, network: Network, condition: Condition, options: SamplingOptions) -> None:
        self._condition = condition
        if condition.has_rules:
            options = replace(options, min_length=0)  # min_length changes the first id's probabilities in `Sampler`
        self._sampler = Sampler(network, condition.vocabulary, options)

    @cached_property
    def first_batch(self) -> list[str]:
        """The items of batch 0; their number decides the choice of a strategy."""
        return self._sample(0)

    def sample_batch(self, batch: int) -> list[str]:
        """Sample one batch and return the accepted items, in the order of their rows."""
        return self._sample(batch) if batch else self.first_batch

    def _sample(self, batch: int) -> list[str]:
        items = self._sampler.sample_batch(batch)
        if not self._condition.has_rules:
            return items
        return [item for item, is_met in zip(items, self._condition.matches(items), strict=True) if is_met]
