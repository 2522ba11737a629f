"""The choice of a strategy: items do not depend on the choice where they must not, and impossible conditions end."""

import pytest
import torch
from enumeration import chi_square, enumerate_items, is_match, make_options, sample_batches

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import GRU, MLP, NGram
from mm_lightning.sampling import strategy
from mm_lightning.sampling.conditions import proposal
from mm_lightning.sampling.conditions.exact import ExactSampler
from mm_lightning.sampling.conditions.rejection import RejectionSampler
from mm_lightning.sampling.conditions.resampling import Resampler
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.sampler import Sampler
from mm_lightning.sampling.strategy import ConditionalSampler


@pytest.mark.parametrize("settings", [{"contains": "a"}, {"exclude": ["ab", "ccc", "dad"]}, {"near": "ab", "edits": 4}])
def test_a_frequent_condition_is_sampled_by_rejection(
    tiny_gru: GRU, vocabulary: Vocabulary, settings: dict[str, str | int | list[str]]
):
    """Catches an approximation where exact samples cost little."""
    options = SamplingOptions(**settings, max_length=30)  # type: ignore[arg-type]
    plain = sample_batches(Sampler(tiny_gru, vocabulary, SamplingOptions(min_length=0, max_length=30)), 5)
    items = sample_batches(ConditionalSampler(tiny_gru, vocabulary, options), 5)
    assert len(items) > 200
    assert items == [item for item in plain if is_match(item, options)]


@pytest.mark.parametrize("settings", [{"exclude": ["ab", "c", "dd"]}, {"exclude": ["bb"], "near": "acca", "edits": 1}])
def test_a_graph_without_room_is_replaced(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str | int | list[str]]
):
    """Catches an item that breaks a condition, or none at all, where the exact table has no room."""
    monkeypatch.setattr(strategy, "_MAX_EDGES", 50)
    monkeypatch.setattr(proposal, "_MAX_EDGES", 50)
    options = make_options(settings)
    sampler = ConditionalSampler(network, vocabulary, options)
    items = sample_batches(sampler, 60)
    assert isinstance(sampler.strategy, Resampler if "near" in settings else RejectionSampler)
    assert len(items) > 900
    assert all(is_match(item, options) for item in items)
    assert abs(chi_square(items, enumerate_items(network, vocabulary, options))) < 4


def test_without_conditions_items_are_those_of_the_plain_sampler(network: MLP, vocabulary: Vocabulary):
    """Catches other items for a seed than `Sampler` gives."""
    for options in (SamplingOptions(), SamplingOptions(prefix="b", max_length=5, temperature=0.7)):
        sampler, plain = ConditionalSampler(network, vocabulary, options), Sampler(network, vocabulary, options)
        assert sample_batches(sampler, 3) == sample_batches(plain, 3)


@pytest.mark.parametrize("settings", [{"top_k": 2}, {"top_p": 0.5}, {"temperature": 0}])
@pytest.mark.parametrize("prefix", ["a", "ba", "cd", "dab"])
def test_a_condition_that_always_holds_changes_no_possible_item(
    network: MLP, vocabulary: Vocabulary, settings: dict[str, float], prefix: str
):
    """Catches options that choose among other ids where an item must not end yet."""
    found = []
    for condition in ({}, {"contains": prefix}):
        options = SamplingOptions(
            prefix=prefix, min_length=len(prefix) + 1, max_length=len(prefix) + 2, **settings, **condition
        )  # type: ignore[arg-type]
        try:
            found.append(set(sample_batches(ConditionalSampler(network, vocabulary, options), 4)))
        except UserError:  # no item has a probability above 0
            found.append(set())
    assert found[0] == found[1]


@pytest.mark.parametrize("has_table", [True, False])
def test_a_batch_depends_only_on_its_index(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, has_table: bool
):
    """Catches items that change with the number requested, or with the batches sampled before."""
    if not has_table:
        monkeypatch.setattr(MLP, "context", None)
    options = make_options({"suffix": "dcc"})
    first = ConditionalSampler(network, vocabulary, options)
    batches = [first.sample_batch(batch) for batch in range(3)]
    again = ConditionalSampler(network, vocabulary, options)
    assert [again.sample_batch(batch) for batch in (2, 0, 1)] == [batches[i] for i in (2, 0, 1)]
    assert isinstance(first.strategy, ExactSampler if has_table else Resampler)
    assert batches[0] != batches[1]


def test_a_condition_of_probability_0_is_an_error(always_ab: NGram, ab_vocabulary: Vocabulary):
    """Catches an endless search, and no items without a reason, where counts without smoothing give zeros."""
    options = SamplingOptions(suffix="b")
    assert ConditionalSampler(always_ab, ab_vocabulary, options).sample_batch(0) == ["ab"] * SAMPLE_BATCH_SIZE
    for options in (SamplingOptions(suffix="a"), SamplingOptions(min_length=3), SamplingOptions(suffix="a", beam=20)):
        with pytest.raises(UserError, match="has a probability above 0 for this model"):
            ConditionalSampler(always_ab, ab_vocabulary, options).sample_batch(0)


@pytest.mark.parametrize("settings", [{}, {"suffix": "dc"}, {"beam": 20}])
def test_a_network_in_training_mode_is_refused(network: MLP, vocabulary: Vocabulary, settings: dict[str, str | int]):
    """Catches dropout in samples under conditions, and a batch sampled after the network went back to training."""
    sampler = ConditionalSampler(network, vocabulary, SamplingOptions(**settings))
    with torch.no_grad():
        sampler.sample_batch(0)
    network.train()
    with pytest.raises(RuntimeError, match="eval mode"):
        sampler.sample_batch(0)
