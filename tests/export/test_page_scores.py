"""Scores and next probabilities of the page against those of the commands."""

import itertools
import math
from functools import partial

import pytest
import torch
from in_node import in_node
from pages import FACTS

from mm_lightning.commands.parts.scores import token_probabilities
from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import posterior, score, score_by_label
from mm_lightning.export.payload import make_payload
from mm_lightning.networks import MLP
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.probabilities import next_probabilities
from mm_lightning.training.module import LanguageModel

ITEMS = ["", "a", "abca", "dddd", "cabbage".replace("g", "d").replace("e", "")]
SCORE = """
import { Graph } from "./sampling/conditions/graph.js";
import { sampleItems } from "./sampling/index.js";
import { hasConditions, makeOptions } from "./sampling/options.js";
import { nextProbabilities, scoreItem } from "./sampling/score.js";
import { PageError, Vocabulary } from "./vocabulary.js";
import { openModel } from "./payload.js";
const attempt = (work) => {
  try {
    return work();
  } catch (error) {
    if (error instanceof PageError) return error.message;
    throw error;
  }
};
let numGraphs = 0;
const { explore } = Graph.prototype;
Graph.prototype.explore = function counted(maxEdges) {
  numGraphs += 1;
  return explore.call(this, maxEdges);
};
const kindOf = (model, options) => {
  numGraphs = 0;
  for (const item of sampleItems(model, options)) {
    if (item !== null) return { hasConditions: hasConditions(options), isExact: item.isExact, numGraphs };
  }
};
export const answer = ({ text, items = [], label = null, prefixes = [], options = {}, kinds = [] }) => {
  const model = openModel(text);
  model.vocabulary = new Vocabulary(model.vocabularyDescription);
  return {
    scores: items.map((item) => attempt(() => scoreItem(model, item, label))),
    next: prefixes.map((ids) => Array.from(nextProbabilities(model, ids, makeOptions(options)))),
    kinds: kinds.map((each) => kindOf(model, makeOptions(each))),
  };
};
"""


def language_model(
    alphabet: str | list[str], labels: dict[str, int] | None = None, block_size: int = 3
) -> LanguageModel:
    torch.manual_seed(0)
    network = partial(MLP, block_size=block_size, embed_dim=4, hidden_dim=16)
    model = LanguageModel(alphabet, network, torch.optim.SGD, labels=labels).eval()
    with torch.no_grad():
        model.network.output.weight *= 5
    return model


def text_of(model: LanguageModel) -> str:
    return make_payload(model, FACTS, None, "float32").text


def test_scores_are_those_of_the_command_score():
    """Catches a token that is scored by another context, and an end that is left out."""
    model = language_model("abcd")
    answers = in_node(SCORE, {"text": text_of(model), "items": [*ITEMS, "abx"]})["scores"]
    expected = score(model.network, model.vocabulary, Items.from_strings(ITEMS)).tolist()
    assert "x" in answers.pop()
    for item, nll, answer in zip(ITEMS, expected, answers, strict=True):
        assert answer["total"] == pytest.approx(nll, abs=2e-5)
        assert sum(token["nll"] for token in answer["tokens"]) == pytest.approx(answer["total"])
        assert [token["text"] for token in answer["tokens"]] == [*item, ""]
        assert answer["labels"] == []


def test_scores_of_labels_follow_bayes_rule():
    """Catches a mixture of labels whose weights do not change from token to token."""
    counts = {"F": 30, "M": 10}
    model = language_model("abcd", counts)
    by_label = score_by_label(model.network, model.vocabulary, Items.from_strings(ITEMS), 2)
    totals, shares = posterior(by_label, list(counts.values()))
    text = text_of(model)
    for label, expected in ((None, totals), ("F", by_label[:, 0]), ("M", by_label[:, 1])):
        answers = in_node(SCORE, {"text": text, "items": ITEMS, "label": label})["scores"]
        assert [answer["total"] for answer in answers] == pytest.approx(expected.tolist(), abs=2e-5)
        if label is None:
            found = [[each["probability"] for each in answer["labels"]] for answer in answers]
            assert torch.tensor(found) == pytest.approx(shares.numpy(), abs=1e-5)
            sums = [sum(token["nll"] for token in answer["tokens"]) for answer in answers]
            assert sums == pytest.approx(totals.tolist(), abs=2e-5)


def test_an_impossible_item_has_infinite_surprise():
    """Catches NaN in the place of infinity, where counts have a probability of 0."""
    model = language_model("abcd")
    with torch.no_grad():
        model.network.output.bias[1] = -math.inf
    (answer,) = in_node(SCORE, {"text": text_of(model), "items": ["ba"]})["scores"]
    assert answer["total"] is None  # JSON has no infinity
    assert [token["nll"] is None for token in answer["tokens"]][:2] == [False, True]


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5, "topK": 3}, {"topP": 0.6}, {"temperature": 0}])
def test_next_probabilities_are_those_of_sampling(options: dict[str, float]):
    """Catches temperature, top-k or top-p in another order, and an id that is never sampled."""
    model = language_model(["<unk>", "the", "dog", "runs"])
    prefixes = [list(ids) for length in range(3) for ids in itertools.product(range(1, 5), repeat=length)]
    found = in_node(SCORE, {"text": text_of(model), "prefixes": prefixes, "options": options})["next"]
    names = {"temperature": "temperature", "topK": "top_k", "topP": "top_p"}
    python_options = SamplingOptions(**{names[name]: value for name, value in options.items()})
    for ids, row in zip(prefixes, found, strict=True):
        with torch.no_grad():
            logits = model.network.next_logits(torch.tensor([[0, *ids]]))
        assert row == pytest.approx(next_probabilities(logits, model.vocabulary, python_options)[0].tolist(), abs=1e-6)
        assert row[1] == 0


def test_next_probabilities_of_a_mixture_of_labels_multiply_to_its_items():
    """Catches labels that keep their shares whatever the tokens so far say."""
    model = language_model("abcd", {"F": 30, "M": 10})
    item = model.vocabulary.encode_item("abca")
    found = in_node(SCORE, {"text": text_of(model), "prefixes": [item[:i] for i in range(5)]})["next"]
    nll = -sum(math.log(row[i]) for row, i in zip(found, [*item, 0], strict=True))
    by_label = score_by_label(model.network, model.vocabulary, Items.from_strings(["abca"]), 2)
    assert nll == pytest.approx(posterior(by_label, [30, 10])[0].item(), abs=2e-5)


def test_labels_of_a_long_item_keep_their_weights():
    """Catches probabilities of an item that are too small for a number, so that the labels get their shares."""
    model = language_model("abcd", {"F": 30, "M": 10})
    text = "abd" * 250
    found = in_node(SCORE, {"text": text_of(model), "prefixes": [model.vocabulary.encode_item(text)]})["next"]
    by_label = score_by_label(model.network, model.vocabulary, Items.from_strings([text]), 2)
    assert by_label.min() > 750  # nats: exp gives 0
    assert found[0] == pytest.approx(token_probabilities(model, text).tolist(), abs=1e-4)


def test_the_kind_of_a_condition_says_what_is_approximate():
    """Catches a page that calls resampling exact, and one that searches the windows of a condition twice."""
    common = [{}, {"minLength": 0}, {"prefix": "ab"}, {"minLength": 2}, {"maxLength": 9}]
    rare = [{"suffix": "abcd"}, {"contains": "dddd", "prefix": "a"}]
    for block_size, is_exact in ((3, True), (16, False)):
        text = text_of(language_model("abcd", block_size=block_size))
        kinds = in_node(SCORE, {"text": text, "kinds": [*common, *rare]})["kinds"]
        assert [kind["hasConditions"] for kind in kinds] == [False, False, *[True] * 5]
        assert [kind["isExact"] for kind in kinds] == [True] * 5 + [is_exact] * 2
        assert [kind["numGraphs"] for kind in kinds] == [0] * 5 + [1] * 2
