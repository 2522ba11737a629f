"""Networks in JavaScript with settings that no recipe has, against PyTorch; run in node."""

import copy
import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from in_node import in_node
from network_cases import ALPHABET, NETWORKS, Endless, Sum, items_of, model_of
from pages import FACTS, enlarge, torch_logits
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import WordVocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.export.payload import make_payload, packed_loss_change, page_classes
from mm_lightning.networks import MLP, Bigram, KneserNey, NGram, PitmanYor, __all__
from mm_lightning.networks.base import Network
from mm_lightning.training.module import LanguageModel

_LOGITS = """
import { openModel } from "./payload.js";
import { withLabel } from "./networks/index.js";
export const answer = (models) => models.map(({ text, prefixes }) => {
  const { network, labels } = openModel(text);
  return prefixes.map(({ ids, label }) => {
    const view = labels.length ? withLabel(network, label) : network;
    const atOnce = view.read(ids, null).logits;
    const half = ids.length >> 1;
    const before = half ? view.read(ids.slice(0, half), null).state : null;
    if (half) view.read([1], before); // must not change the state
    const inPieces = view.read(ids.slice(half), before).logits;
    const ofWindow = view.context === null ? atOnce : view.windowLogits(view.inside(ids).window);
    return [atOnce, inPieces, ofWindow].map((logits) => Array.from(logits, String));
  });
});
"""


def prefixes(model: LanguageModel) -> list[dict]:
    chance = random.Random(1)
    beginnings = [item[: chance.randrange(len(item) + 1)] for item in items_of(30, 0)]
    beginnings += ["".join(chance.choices(ALPHABET, k=chance.randrange(25))) for _ in range(30)]
    ids = [[0], *([0, *model.vocabulary.encode_item(text)] for text in beginnings)]
    return [{"ids": each, "label": i % max(1, len(model.labels))} for i, each in enumerate(ids)]


def node_logits(models: list[LanguageModel], weights: str = "float32") -> list[Tensor]:
    """Logits (number, 3, V) of each model: read at once, read in two pieces, and of the window."""
    texts = [make_payload(model, FACTS, None, weights).text for model in models]
    found = in_node(_LOGITS, [{"text": text, "prefixes": prefixes(m)} for text, m in zip(texts, models, strict=True)])
    return [torch.from_numpy(np.array(each).astype(np.float64)) for each in found]


@pytest.fixture(scope="module")
def logits() -> dict[tuple[str, bool], tuple[Tensor, Tensor]]:
    """Logits of every network by the page and by PyTorch; one process of node computes them all."""
    cases = [(name, has_labels) for name in NETWORKS for has_labels in (False, True)]
    models = [model_of(NETWORKS[name], has_labels) for name, has_labels in cases]
    expected = [torch_logits(model, prefixes(model)) for model in models]
    return dict(zip(cases, zip(node_logits(models), expected, strict=True), strict=True))


@pytest.mark.parametrize("has_labels", [False, True], ids=["plain", "labels"])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_are_those_of_pytorch(name: str, has_labels: bool, logits: dict):
    """Catches a setting that the page ignores, labels mixed up, a state that is changed, and numbers above 2^53."""
    found, expected = logits[name, has_labels]
    torch.testing.assert_close(found, expected[:, None].expand_as(found), rtol=1e-6, atol=2e-6)
    assert expected.clamp(min=-20).std(0).max() > 0.1


@pytest.mark.parametrize("make", [PitmanYor, KneserNey, NGram], ids=lambda make: make.__name__)
@pytest.mark.parametrize("num_items", [1, 3, 2_000])
def test_counts_of_short_and_long_lists(make: type[Network], num_items: int):
    """Catches discounts without an estimate, and counts of more than a byte."""
    model = model_of(partial(make, block_size=3), num_items=num_items)
    (found,) = node_logits([model])
    expected = torch_logits(model, prefixes(model))
    torch.testing.assert_close(found, expected[:, None].expand_as(found), rtol=1e-9, atol=1e-9)


def test_double_precision_is_kept():
    """Catches weights of double precision that the page has in single precision."""
    model = model_of(partial(MLP, hidden_dim=20)).double()
    (found,) = node_logits([model])
    expected = torch_logits(model, prefixes(model))
    torch.testing.assert_close(found, expected[:, None].expand_as(found), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["LSTM", "MLP, normalised", "Mixture", "a user's own"])
def test_half_precision_changes_the_loss_as_it_says(name: str):
    """Catches a loss of float16 weights that is not the loss of the page."""
    model = model_of(NETWORKS[name])
    items = Items.from_strings(items_of(20, 3))
    ids = [[0, *model.vocabulary.encode_item(item), 0] for item in items]
    beginnings = [{"ids": each[:i], "label": 0} for each in ids for i in range(1, len(each))]
    targets = torch.tensor([target for each in ids for target in each[1:]])

    text = make_payload(model, FACTS, None, "float16").text
    found = np.array(in_node(_LOGITS, [{"text": text, "prefixes": beginnings}])[0])[:, 0].astype(np.float64)
    losses = [
        torch.nn.functional.cross_entropy(logits, targets)
        for logits in (torch.from_numpy(found), torch_logits(model, beginnings))
    ]
    change = packed_loss_change(model, items)
    assert change == pytest.approx(float(losses[0] - losses[1]), abs=1e-6)
    assert change != 0
    assert model.network.state_dict().keys() == model_of(NETWORKS[name]).network.state_dict().keys()


def test_half_precision_of_sentences_is_told_per_word():
    """Catches a loss that is divided by characters, and items that count once each whatever their weight."""
    torch.manual_seed(0)
    vocabulary = WordVocabulary(["<unk>", "hippopotamuses", "swim"])
    model = LanguageModel(vocabulary.alphabet, partial(MLP, block_size=2), torch.optim.Adam)
    model.eval()
    one = Items.from_strings(["hippopotamuses swim"])
    other = Items.from_strings(["swim"])
    both = replace(Items.joined([one, other]), weights=np.array([3, 1]))
    changes = [packed_loss_change(model, items) for items in (one, other)]
    assert packed_loss_change(model, both) == pytest.approx((3 * 3 * changes[0] + 2 * changes[1]) / 11, rel=1e-2)
    packed = copy.deepcopy(model.network).half().double()
    expected = score(packed, vocabulary, one) - score(copy.deepcopy(model.network).double(), vocabulary, one)
    assert changes[0] == pytest.approx(expected.item() / 3, rel=1e-2)
    assert changes[0] != pytest.approx(changes[1], rel=0.5)


def test_half_precision_refuses_weights_that_are_too_large():
    """Catches infinite weights in a page."""
    model = model_of(Bigram)
    enlarge(model, 1e5)
    with pytest.raises(UserError, match=r"weights is float16, but weight.weight has a number of .*leave weights out"):
        make_payload(model, FACTS, None, "float16")


def test_a_class_without_a_module_and_without_a_table_is_an_error():
    """Catches a page that cannot compute its network."""
    model = LanguageModel(ALPHABET, Endless, partial(torch.optim.SGD, lr=0.1))
    with pytest.raises(UserError, match=r"Endless; a page can show BagOfWords, .*WaveNet, and another network only if"):
        make_payload(model.eval(), FACTS, None, "float32")


def test_a_factory_that_hides_its_arguments_is_refused():
    """Catches a page with default settings in place of the model's."""
    model = LanguageModel(ALPHABET, lambda vocab_size: MLP(vocab_size, activation="relu"), torch.optim.SGD)
    with pytest.raises(TypeError, match="does not tell the network's arguments"):
        make_payload(model.eval(), FACTS, None, "float32")


def test_a_class_of_the_same_name_is_another_class():
    """Catches a user's own MLP that the page takes for ours."""
    own = type("MLP", (Sum,), {})
    model = model_of(own)
    (found,) = node_logits([model])
    torch.testing.assert_close(found[:, 0], torch_logits(model, prefixes(model)))


def test_every_network_has_a_module():
    """Catches a network of the package that the page does not know."""
    assert set(page_classes()) == {*__all__, "Table"}
