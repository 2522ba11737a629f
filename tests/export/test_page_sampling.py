"""Sampling in the page, on tables of logits: there is no rounding, so its items must be those of `predict`."""

import itertools
from collections import Counter
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from in_node import Model, sampled

from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.networks import MLP
from mm_lightning.networks.base import Network
from mm_lightning.sampling.options import SamplingOptions


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
    SamplingOptions(temperature=3, top_k=2),
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
]
OPTIONS_WITHOUT_ITEMS = [  # the model never ends an item, or no item can meet the condition
    SamplingOptions(temperature=0),
    SamplingOptions(top_k=4, top_p=0.4),
    SamplingOptions(suffix="abc", contains="dd", max_length=4),
    SamplingOptions(suffix="xa"),
    SamplingOptions(prefix="abcd", max_length=3),
]


def test_a_table_samples_the_items_of_predict(model: Model):
    """Catches another random stream, another choice of a strategy, or another order of the items."""
    options = [*OPTIONS, SamplingOptions(suffix="a", max_length=10_000, temperature=0.9)]
    for each, answer in zip(options, sampled(model.as_table(2), options), strict=True):
        assert answer["items"] == model.predicted(each), each
        assert len(answer["items"]) == each.num_samples and answer["error"] is None


@pytest.mark.slow
def test_a_long_context_samples_the_items_of_predict(model: Model):
    """Catches resampling that differs from that of `predict` in a count, a weight or the order of random numbers."""
    options = [replace(each, num_samples=min(each.num_samples, 40)) for each in OPTIONS]
    answers = sampled(model.as_table(2), options, is_context_hidden=True)
    hidden = Model(HiddenContext(model.network).eval(), model.vocabulary)
    for each, answer in zip(options, answers, strict=True):
        assert answer["items"] == hidden.predicted(each), each
        assert answer["items"]


def test_conditions_that_no_item_meets_are_one_sentence(model: Model):
    """Catches an endless search, and an error that a user of the page cannot read."""
    answers = sampled(model.as_table(2), OPTIONS_WITHOUT_ITEMS)
    for options, answer in zip(OPTIONS_WITHOUT_ITEMS, answers, strict=True):
        assert answer["items"] == [] and model.predicted(options) == []
        assert answer["error"].endswith(".") and "\n" not in answer["error"]


TEXTS = st.text("abcd", max_size=3)


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_random_options_sample_the_items_of_predict(model: Model, data: st.DataObject):
    """Catches a combination of options that the page takes in another order than `predict`."""
    options = [
        SamplingOptions(
            num_samples=data.draw(st.integers(1, 40)),
            temperature=data.draw(st.floats(0.5, 2)),
            top_k=data.draw(st.none() | st.integers(2, 6)),
            top_p=data.draw(st.just(1.0) | st.floats(0.9, 1)),
            prefix=data.draw(TEXTS),
            suffix=data.draw(TEXTS),
            contains=data.draw(TEXTS),
            min_length=(min_length := data.draw(st.integers(0, 12))),
            max_length=data.draw(st.integers(max(min_length, 1), 60)),
            seed=data.draw(st.integers(0, 2**32 - 1)),
        )
        for _ in range(8)
    ]
    for each, answer in zip(options, sampled(model.as_table(2), options), strict=True):
        assert answer["items"] == model.predicted(each), each


def test_words_and_labels_sample_the_items_of_predict():
    """Catches a word that is never sampled, labels with the same random numbers, or another mixture of labels."""
    torch.manual_seed(1)
    vocabulary = WordVocabulary(["<unk>", "the", "dog", "runs"])
    network = MLP(5, block_size=2, embed_dim=4, hidden_dim=16, num_labels=3).double().eval()
    with torch.no_grad():
        network.output.weight *= 4
    labelled = Model(network, vocabulary, {"x": 3, "none": 0, "y": 5})
    options = [
        SamplingOptions(num_samples=1500),
        SamplingOptions(label="y", suffix="the dog", num_samples=50),
        SamplingOptions(label="x:0.1,none:0.7,y:0.2", prefix="dog", contains="runs runs", num_samples=100),
        SamplingOptions(label="none", min_length=4, max_length=6),
    ]
    for each, answer in zip(options, sampled(labelled.as_table(2), options), strict=True):
        assert answer["items"] == labelled.predicted(each), each
        assert len(answer["items"]) == each.num_samples
    hidden = Model(HiddenContext(network).eval(), vocabulary, labelled.labels)
    rare = [
        SamplingOptions(suffix="dog the runs the", num_samples=30),
        SamplingOptions(label="y", contains="the the dog the"),
    ]
    for each, answer in zip(rare, sampled(labelled.as_table(2), rare, is_context_hidden=True), strict=True):
        assert answer["items"] == hidden.predicted(each), each
        assert answer["items"]
    wrong = [SamplingOptions(label=label) for label in ("z", "x:0", "x:1,x:2", ":1")]
    wrong += [SamplingOptions(prefix="the cat"), SamplingOptions(suffix="<unk>")]
    assert all(answer["error"] and not answer["items"] for answer in sampled(labelled.as_table(2), wrong))


def test_items_under_a_condition_have_the_models_probabilities(model: Model):
    """Catches a distribution under conditions that only resembles the model's."""
    options = SamplingOptions(num_samples=20_000, contains="ab", suffix="b", max_length=4)
    expected: dict[str, float] = {}
    for length in range(2, 5):
        for letters in itertools.product("abcd", repeat=length):
            item = "".join(letters)
            if "ab" in item and item.endswith("b"):
                expected[item] = float((-score(model.network, model.vocabulary, Items.from_strings([item]))).exp())
    total = sum(expected.values())
    for is_hidden, num_samples in ((False, 20_000), (True, 2_000)):
        (answer,) = sampled(model.as_table(2), [replace(options, num_samples=num_samples)], is_hidden)
        counts = Counter(answer["items"])
        assert set(counts) <= set(expected)
        numbers = {item: num_samples * probability / total for item, probability in expected.items()}
        chi_square = sum((counts[item] - number) ** 2 / number for item, number in numbers.items())
        assert chi_square < len(numbers) + 5 * (2 * len(numbers)) ** 0.5
