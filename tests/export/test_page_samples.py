"""The page's items against those of `predict`, for every recipe in configs/.

The page computes a network in another order than PyTorch, so a draw may fall on the other side of a sum by rounding.
Resampling guides all its draws by counts of sampled items, so one such draw may change many items. The proof for
resampling is in `test_page_sampling.py`, on tables without rounding.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from in_node import Model, requests_of, sampled
from pages import CONFIGS, FACTS, enlarge, trained
from run_command import ROOT

from mm_lightning.export.html import page
from mm_lightning.export.payload import make_payload
from mm_lightning.networks import MLP
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.training.module import LanguageModel

MAX_SHARE_OF_OTHER_ITEMS = 0.01  # of a recipe's items; of 20,000 of the lectures' MLP, none was another one
FAST = {"mlp", "ngram_labels", "mlp_sentences"}
LONG_CONTEXT = {"mlp_context8", "gru", "bag_of_words"}  # rare conditions by resampling; it takes minutes for others


def model_of(config: Path, folder: Path) -> tuple[Model, str]:
    """A trained recipe, and the model as the page carries it."""
    model, _ = trained(config, folder)
    enlarge(model, 2)
    text = make_payload(model, FACTS, None, "float32").text
    return Model(model.network, model.vocabulary, model.labels), text


def options_of(model: Model, has_rare_conditions: bool) -> list[SamplingOptions]:
    """Options with and without conditions, in tokens of the model."""
    tokens = [model.vocabulary.decode([i]) for i in range(2, 5)]
    all_tokens = model.vocabulary.decode([4, 2])
    short = SamplingOptions(max_length=30)
    common = [
        replace(short, num_samples=100, seed=1),
        replace(short, temperature=0.8, top_k=9, seed=2),
        replace(short, top_p=0.9, prefix=tokens[0], seed=2**32 - 1),
        replace(short, contains=tokens[1], prefix=tokens[2], num_samples=10),
    ]
    rare = [
        replace(short, suffix=all_tokens, seed=3),
        replace(short, suffix=tokens[2], contains=all_tokens, min_length=4, max_length=12, num_samples=40),
        replace(short, prefix=tokens[0], min_length=7, max_length=7),
    ]
    return common + rare if has_rare_conditions else common


RECIPES = [pytest.param(c, id=c.stem, marks=() if c.stem in FAST else pytest.mark.slow) for c in CONFIGS]


@pytest.mark.parametrize("config", RECIPES)
def test_a_recipe_samples_the_items_of_predict(config: Path, tmp_path: Path):
    """Catches a network, a state or a label that the page samples in another way; rounding alone rarely shows."""
    model, text = model_of(config, tmp_path)
    has_short_context = len(model.vocabulary) ** ((model.network.context or 99) + 1) < 2**24
    options = options_of(model, has_short_context or config.stem in LONG_CONTEXT)
    num_other = num_all = 0
    for each, answer in zip(options, sampled(text, options), strict=True):
        expected = model.predicted(each)
        assert len(answer["items"]) == len(expected) > 0, each
        if (each.suffix or each.contains) and not has_short_context:  # by resampling, where they are rare
            assert all(is_met(item, each) for item in answer["items"])
            continue
        num_all += len(expected)
        num_other += sum(a != b for a, b in zip(answer["items"], expected, strict=True))
    print(f"{config.stem}: {num_other} of {num_all} items differ")
    assert num_other <= MAX_SHARE_OF_OTHER_ITEMS * num_all + 1


def is_met(item: str, options: SamplingOptions) -> bool:
    """Whether an item meets the conditions on its text."""
    return item.endswith(options.suffix) and options.contains in item


IN_CHROMIUM = """requests => {
  const model = openModel(document.getElementById("model").textContent);
  model.vocabulary = new Vocabulary(model.vocabularyDescription);
  return requests.map((request) => {
    const start = performance.now();
    const items = [];
    for (const item of sampleItems(model, makeOptions(request))) {
      if (item !== null) items.push(item.text);
      if (items.length === request.numSamples) break;
    }
    return { items, seconds: (performance.now() - start) / 1000 };
  });
}"""


def test_chromium_samples_the_items_of_predict(open_page, tmp_path: Path):
    """Catches a joined script in which a name means something else than in its module, and an exponential of another
    browser engine that changes items."""
    trained_model, items = trained(ROOT / "configs/mlp.yaml", tmp_path)
    enlarge(trained_model, 2)
    model = Model(trained_model.network, trained_model.vocabulary)
    options = [SamplingOptions(suffix="lyn"), *options_of(model, has_rare_conditions=True)]
    answers = open_page(page(trained_model, FACTS, items)).evaluate(IN_CHROMIUM, requests_of(options))
    num_other = 0
    for each, answer in zip(options, answers, strict=True):
        num_other += sum(a != b for a, b in zip(answer["items"], model.predicted(each), strict=True))
    assert num_other <= 2
    print([round(answer["seconds"], 3) for answer in answers])


def test_only_pages_of_a_long_context_have_resampling():
    """Catches a page of a long context without it, and 10 KB that a page of a short context never uses."""
    for block_size, is_long in ((3, False), (4, False), (5, True)):
        network = partial(MLP, block_size=block_size)
        model = LanguageModel("abcdefghijklmnopqrstuvwxyz", network, torch.optim.SGD).eval()
        html = page(model, FACTS, None)
        assert ("approximateSampler" in html) == is_long
        assert ("ngramTable" in html) == is_long
