"""Small models for the tests of the page, and the page of each."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pages
import torch

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.export.facts import Facts, Loss
from mm_lightning.export.html import page
from mm_lightning.networks import MLP, NGram
from mm_lightning.networks.building import NetworkFactory
from mm_lightning.sampling.labels import label_sampler
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.strategy import ConditionalSampler
from mm_lightning.training.module import LanguageModel

FACTS = replace(
    pages.FACTS,
    data_hash="ab" * 32,
    config="data:\n  batch_size: 32\n",
    notes=["chosen of three"],
    losses={"train": Loss(2.1, None, 1000), "dev": Loss(2.25, 2.5, 117)},
)


def mlp(alphabet: str | list[str], embed_dim: int = 5, labels: dict[str, int] | None = None) -> LanguageModel:
    """Untrained, but far from uniform; in double precision, so that no draw hangs on rounding."""
    torch.manual_seed(0)
    factory = partial(MLP, block_size=3, embed_dim=embed_dim, hidden_dim=30)
    model = LanguageModel(alphabet, factory, torch.optim.SGD, labels=labels).double().eval()
    with torch.no_grad():
        model.network.output.weight *= 4
        model.network.embedding.weight *= 4
        model.network.output.bias[0] += 1.5
    return model


def counted(items: Sequence[str], block_size: int, smoothing: float = 0.0) -> LanguageModel:
    """Counts of these items; with a context as long as they are and no smoothing, the model makes them alone."""
    listed = Items.from_strings(items)
    factory: NetworkFactory = partial(NGram, block_size=block_size, smoothing=smoothing)
    model = LanguageModel(listed.alphabet(), factory).eval()
    windows = Windows(encode(listed, model.vocabulary), block_size)
    model.network.count(*windows.gather(torch.arange(len(windows))))  # type: ignore[operator]
    return model


def page_of(model: LanguageModel, seen: Sequence[str] | None = None, facts: Facts = FACTS) -> str:
    return page(model, facts, None if seen is None else Items.from_strings(seen))


def predicted(model: LanguageModel, count: int, **options: object) -> list[str]:
    """The first items that `predict` samples."""
    settings = SamplingOptions(**options)  # type: ignore[arg-type]
    sampler = label_sampler(
        lambda network, own: ConditionalSampler(network, model.vocabulary, own),
        model.network,
        len(model.vocabulary),
        model.labels,
        settings,
    )
    return [str(item) for item in sampler.sample_batch(0)[:count]]
