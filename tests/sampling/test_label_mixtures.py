"""Samples of models with labels, against enumeration."""

import re
from collections import Counter
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from enumeration import CONDITIONS, chi_square, enumerate_items, is_match, make_options, sample_batches

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.networks import GRU, MLP
from mm_lightning.networks.base import Network
from mm_lightning.networks.parts.label_view import LabelView
from mm_lightning.sampling import labels
from mm_lightning.sampling.labels import LabelledItem, label_sampler, label_shares
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.strategy import ConditionalSampler

LABELS = {"F": 60, "M": 30, "X": 10}


@pytest.fixture(params=[MLP, GRU], ids=["MLP", "GRU"])
def labelled(request: pytest.FixtureRequest, vocabulary: Vocabulary) -> Network:
    """An untrained network with labels, far from uniform."""
    torch.manual_seed(0)
    result = request.param(len(vocabulary), embed_dim=4, hidden_dim=16, num_labels=3).double().eval()
    with torch.no_grad():
        result.output.weight *= 5
    return result  # type: ignore[no-any-return]


def sample_all(network: Network, vocabulary: Vocabulary, options: SamplingOptions, num_batches: int) -> list[str]:
    sampler = label_sampler(
        lambda view, own: ConditionalSampler(view, vocabulary, own), network, len(vocabulary), LABELS, options
    )
    return sample_batches(sampler, num_batches)


@pytest.mark.parametrize("settings", [*CONDITIONS[:4], CONDITIONS[-1]])
def test_items_of_a_label_follow_the_model(vocabulary: Vocabulary, settings: dict[str, Any]):
    """Catches items of another label, and a condition that leaves the distribution of the label."""
    torch.manual_seed(0)
    network = MLP(len(vocabulary), 3, 4, 16, num_labels=3).double().eval()
    with torch.no_grad():
        network.output.weight *= 5
    options = make_options({**settings, "label": "M"})
    items = sample_all(network, vocabulary, options, 12)
    assert all(is_match(item, options) and item.label == "M" for item in items if isinstance(item, LabelledItem))
    expected = [enumerate_items(LabelView(network, len(vocabulary), label), vocabulary, options) for label in (0, 1)]
    assert abs(chi_square(items, expected[1])) < 4
    assert chi_square(items, expected[0]) > 4


@pytest.mark.parametrize(
    ("mixture", "shares"),
    [(None, {"F": 0.6, "M": 0.3, "X": 0.1}), ("F:1,X:3", {"F": 0.25, "X": 0.75}), ("M", {"M": 1.0})],
)
@pytest.mark.parametrize("settings", [{}, {"suffix": "d"}])
def test_a_mixture_has_its_shares(labelled: Network, vocabulary: Vocabulary, mixture, shares, settings):
    """Catches shares changed by a condition, by a label whose items run out, or by the order of the labels."""
    items = sample_all(labelled, vocabulary, make_options({**settings, "label": mixture}), 20)
    assert len(items) > 500
    labels = [item.label for item in items if isinstance(item, LabelledItem)]
    assert len(labels) == len(items)
    assert Counter(labels).keys() == shares.keys()
    assert chi_square(labels, shares) < 4


def test_a_label_without_items_is_named(monkeypatch: pytest.MonkeyPatch):
    """Catches an empty mixture that says nothing of the label to leave out, and an error that blames the model."""
    told: list[str] = []
    monkeypatch.setattr(labels, "rank_zero_info", told.append)

    def refuse(batch: int) -> list[str]:
        raise UserError("no item")

    found = {"F": Mock(sample_batch=lambda _: ["anna"]), "M": Mock(sample_batch=lambda _: [])}
    assert labels.LabelMixture(found, {"F": 0.5, "M": 0.5}, 0).sample_batch(0) == []
    assert told == ["label M: none of the first samples is an item; sampling.label chooses other labels"]
    found["M"].sample_batch = refuse
    with pytest.raises(UserError, match=r"^label M: no item$"):
        labels.LabelMixture(found, {"F": 0.5, "M": 0.5}, 0).sample_batch(0)
    with pytest.raises(UserError, match=r"^no item$"):
        labels.LabelMixture({"M": found["M"]}, {"M": 1.0}, 0).sample_batch(0)


def test_labels_do_not_share_random_numbers(labelled: Network, vocabulary: Vocabulary):
    """Catches items of two labels that resemble each other, and batches that repeat."""
    options = make_options({"label": "F:1,M:1"})
    first, second = sample_all(labelled, vocabulary, options, 1), sample_all(labelled, vocabulary, options, 2)
    assert second[: len(first)] == first
    assert second[len(first) :] != first
    alone = sample_all(labelled, vocabulary, make_options({"label": "M"}), 1)
    mixed = [item for item in first if isinstance(item, LabelledItem) and item.label == "M"]
    assert mixed == alone[: len(mixed)]


@pytest.mark.parametrize(
    ("mixture", "labels", "message"),
    [
        ("F", {}, "sampling.label is F, but the model has no labels; leave it out"),
        ("Q", LABELS, "sampling.label is Q, but the model has no label Q; it has F, M, X"),
        ("F:1,Q:1", LABELS, "but the model has no label Q"),
        ("F:0.7,M", LABELS, "sampling.label is F:0.7,M, which cannot be read at 'M'"),
        ("F:0,M:1", LABELS, "cannot be read at 'F:0'"),
        ("F:nan", LABELS, "cannot be read at 'F:nan'"),
        ("F:1,F:2", LABELS, "cannot be read at 'F:2'"),
        (":1", LABELS, "cannot be read at ':1'"),
    ],
)
def test_errors_name_the_mixture(mixture: str, labels: dict[str, int], message: str):
    """Catches a share of zero, and a label that is ignored."""
    with pytest.raises(ValueError, match=re.escape(message)):
        label_shares(mixture, labels)


def test_shares_may_be_of_any_size():
    """Catches a sum that is too large for a number."""
    assert label_shares("F:1e308,M:1e308", LABELS) == {"F": 0.5, "M": 0.5}


def test_a_label_may_look_like_a_mixture():
    """Catches a label of the data that cannot be named."""
    assert label_shares("a:1,b:2", {"a:1,b:2": 3, "c": 1}) == {"a:1,b:2": 1.0}
    assert label_shares(None, {"a": 3, "unused": 0}) == {"a": 1.0}
    assert label_shares(None, {}) == {}


def test_the_most_likely_items_are_those_of_one_label(labelled: Network, vocabulary: Vocabulary):
    """Catches a beam search whose items of several labels are mixed by chance."""
    with pytest.raises(ValueError, match=r"sampling.beam is 50, .* set --sampling.label to one of F, M, X"):
        sample_all(labelled, vocabulary, make_options({"beam": 50}), 1)
    options = make_options({"beam": 3000, "label": "X", "num_samples": 3000})
    assert len(sample_all(labelled, vocabulary, options, 1)) == 3000
    options = make_options({"beam": 50, "label": "X"})
    view = LabelView(labelled, len(vocabulary), 2)
    expected = ConditionalSampler(view, vocabulary, make_options({"beam": 50})).sample_batch(0)
    assert sample_all(labelled, vocabulary, options, 1)[:20] == expected[:20]
