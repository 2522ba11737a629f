"""Sampling in the page, on tables of logits: there is no rounding, so its items must be those of `predict`."""


import pytest
import torch
from in_node import Model, sampled

from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import MLP
from mm_lightning.networks.base import Network
from mm_lightning.sampling import SamplingOptions


class HiddenContext(Network):
    """A network whose context is taken for a long one."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)

    def sequence_logits(self, x):
        return self.network.sequence_logits(x)

    def advance(self, ids, state):
        return self.network.advance(ids, state)


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    network = MLP(5, block_size=2, embed_dim=4, hidden_dim=16).double().eval()
    with torch.no_grad():
        network.output.weight *= 4
    return Model(network, Vocabulary("abcd"))


OPTIONS = [
    SamplingOptions(num_samples=2000),
    SamplingOptions(seed=2**32 - 1, num_samples=1),
    SamplingOptions(temperature=0.3),
    SamplingOptions(temperature=0),
    SamplingOptions(temperature=3, top_k=2),
    SamplingOptions(top_k=4, top_p=0.4),
    SamplingOptions(top_p=0.7, prefix="ab"),
    SamplingOptions(prefix="dcba", min_length=6, max_length=7),
    SamplingOptions(min_length=0, max_length=2, num_samples=900),
    SamplingOptions(min_length=30, max_length=200),
    SamplingOptions(min_length=5, max_length=5, num_samples=300),
    SamplingOptions(suffix="ab", num_samples=700),
    SamplingOptions(suffix="abab", seed=5),
    SamplingOptions(suffix="ddd", temperature=0.7, num_samples=300),
    SamplingOptions(contains="bb", num_samples=700),
    SamplingOptions(contains="aca", prefix="ac", suffix="aa", num_samples=700),
    SamplingOptions(contains="dcb", suffix="cbd", max_length=4),
    SamplingOptions(contains="abc", suffix="bcd", max_length=9, min_length=8, top_p=0.95),
    SamplingOptions(suffix="a", max_length=10_000, temperature=0.9),
]


def test_a_table_samples_the_items_of_predict(model: Model):
    """Catches another random stream, another choice of a strategy, or another order of the items."""
    answers = sampled(model.as_table(2), OPTIONS)
    for options, answer in zip(OPTIONS, answers, strict=True):
        expected = model.predicted(options)
        assert answer["items"] == expected, options
        assert (answer["error"] is None) == (len(expected) == options.num_samples)
    assert len({tuple(answer["items"]) for answer in answers}) > len(OPTIONS) - 3


def test_a_long_context_samples_the_items_of_predict(model: Model):
    """Catches resampling that differs from that of `predict` in a count, a weight or the order of random numbers."""
    options = [each for each in OPTIONS if each.temperature > 0 and each.max_length < 10_000]
    answers = sampled(model.as_table(2), options, is_context_hidden=True)
    hidden = Model(HiddenContext(model.network).eval(), model.vocabulary)
    for each, answer in zip(options, answers, strict=True):
        assert answer["items"] == hidden.predicted(each), each
