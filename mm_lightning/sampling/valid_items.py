"""Samples to measure: items no longer than the longest training item, of all labels."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks.base import Network
from mm_lightning.networks.parts.label_view import LabelView
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.rounds import ALONE, Rounds, Share
from mm_lightning.sampling.sampler import Sampler
from mm_lightning.sampling.selection import Selection


def sample_valid(
    network: Network,
    vocabulary: Vocabulary,
    labels: Mapping[str, int],
    options: SamplingOptions,
    share: Share = ALONE,
    report: Callable[[int], object] = lambda num_items: None,
) -> tuple[Items, float]:
    """Sample items that end within `max_length`; of a network with labels, the shares are as in training.

    Args:
        network: The network, in eval mode.
        vocabulary: The vocabulary of the network.
        labels: How often the training items have each label; empty for a network without labels.
        options: The sampling options, without conditions.
        share: Number of this process, and number of processes, which sample together; each returns all items.
        report: Is told the number of new items after each batch.

    Returns:
        The items, and the share of samples that ended within that length.

    Raises:
        UserError: If the allowed number of batches yields too few items.
    """
    if not labels:
        items, valid = _sample(network, vocabulary, options, share, report)
        return Items.from_strings(items), valid
    shares = np.array(list(labels.values())) / sum(labels.values())
    counts = np.diff(np.round(np.cumsum([0, *shares]) * options.num_samples).astype(int))
    items, valid, weights = [], 0.0, 0.0
    for number, (count, weight) in enumerate(zip(counts.tolist(), shares.tolist(), strict=True)):
        if count:
            view = LabelView(network, len(vocabulary), number)
            seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
            own, own_valid = _sample(view, vocabulary, replace(options, num_samples=count, seed=seed), share, report)
            items, valid, weights = items + own, valid + weight * own_valid, weights + weight
    order = np.random.default_rng(options.seed).permutation(len(items))  # the first thousand have all labels
    return Items.from_strings([items[i] for i in order]), valid / weights


def _sample(
    network: Network,
    vocabulary: Vocabulary,
    options: SamplingOptions,
    share: Share,
    report: Callable[[int], object],
) -> tuple[list[str], float]:
    """Sample items of a network without labels; return and raise as `sample_valid`."""
    sampler, selection = Sampler(network, vocabulary, options), Selection(options, lambda items: [True] * len(items))
    batches = Rounds(sampler.sample_batch, selection.max_batches, share)
    ended: list[str] = []
    num_begun = 0
    for number in selection.batches():
        batch = batches.result(number)
        report(len(selection.accept(batch)))
        ended += batch
        num_begun += sampler.num_rows
    if shortfall := selection.shortfall():
        raise UserError(f"{shortfall} (only items that end within {options.max_length} tokens count)")
    return ended[: options.num_samples], len(ended) / num_begun
