"""The page's logits against those of PyTorch, in Chromium, for every recipe in configs/."""

from collections.abc import Callable
from pathlib import Path

import pytest
from network_cases import NETWORKS, items_of, model_of
from pages import CONFIGS, enlarge, page_logits, prefixes, torch_logits, trained
from run_command import ROOT
from torch import Tensor

from mm_lightning.data.files.reading import read_items
from mm_lightning.data.items import Items
from mm_lightning.training.module import LanguageModel

FAST = {"bigram", "mlp", "mlp_sentences", "ngram_labels", "lstm", "transformer"}  # a page of each kind
RECIPES = [pytest.param(path, marks=() if path.stem in FAST else pytest.mark.slow, id=path.stem) for path in CONFIGS]
MAX_ERROR = 1e-4
SMALL_ERROR = 1e-5
SHARE_OF_SMALL_ERRORS = 0.99
MAX_DOUBLINGS = 5


def check(found: Tensor, expected: Tensor) -> None:
    """Compare logits (prefixes, ways of reading, V) of the page with those of PyTorch (prefixes, V)."""
    error = (found - expected[:, None]).abs()
    assert error.max() < MAX_ERROR
    assert (error < SMALL_ERROR).double().mean() >= SHARE_OF_SMALL_ERRORS


def spread(logits: Tensor) -> float:
    """How much the logits (prefixes, V) of a token differ from prefix to prefix: logits all alike show no error."""
    return float(logits.std(0).mean())


@pytest.mark.parametrize("config", RECIPES)
def test_the_page_of_a_recipe_has_the_logits_of_pytorch(config: Path, open_page: Callable, tmp_path: Path):
    """Catches arithmetic of the page that is not the network's: after little training, and with larger weights."""
    model, items = trained(config, tmp_path)
    wanted = prefixes(model, items)
    expected = torch_logits(model, wanted)
    check(page_logits(open_page, model, wanted), expected)
    for _ in range(MAX_DOUBLINGS):
        if spread(expected) > 1:
            break
        enlarge(model, 2)
        expected = torch_logits(model, wanted)
    check(page_logits(open_page, model, wanted), expected)
    assert spread(expected) > 0.5  # counts of few items cannot be enlarged


@pytest.mark.parametrize("name", ["Mixture", "PitmanYor", "WaveNet", "a user's own"])
def test_the_page_of_a_network_without_a_recipe_has_the_logits_of_pytorch(name: str, open_page: Callable):
    """Catches a page that has only the networks of recipes; each network here has labels."""
    model = model_of(NETWORKS[name], has_labels=True)
    wanted = prefixes(model, Items.from_strings(items_of(60, 0)))
    check(page_logits(open_page, model, wanted), torch_logits(model, wanted))


def test_the_page_of_the_shipped_model_has_the_logits_of_pytorch(open_page: Callable):
    """Catches settings of a checkpoint that do not reach the page; the model has been trained to its end."""
    path = ROOT / "data/names.ckpt"
    model = LanguageModel.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()
    wanted = prefixes(model, read_items(ROOT / "data/names.txt"))
    expected = torch_logits(model, wanted)
    check(page_logits(open_page, model, wanted), expected)
    assert spread(expected) > 1
