"""The page's logits against those of PyTorch, for every recipe in configs/."""

from functools import partial

import torch

from mm_lightning.export.facts import Facts
from mm_lightning.export.html import page
from mm_lightning.networks import MLP
from mm_lightning.training.module import LanguageModel

FACTS = Facts("names", "MLP", 1, 1, 42, "names.txt", None, None, "lecture", "fit", "2026-11-29")


def test_first(open_page):
    torch.manual_seed(0)
    model = LanguageModel("abcd", partial(MLP, hidden_dim=20), torch.optim.SGD).eval()
    html = page(model, FACTS, None)
    assert "http" not in html.replace("http-equiv", "")
    opened = open_page(html)
    logits = opened.evaluate("""() => {
      const { network } = openModel(document.getElementById("model").textContent);
      return Array.from(network.read([0, 1, 2], null).logits);
    }""")
    with torch.no_grad():
        expected = model.network.next_logits(torch.tensor([[0, 1, 2]]))[0]
    print(logits, expected, len(html))
    torch.testing.assert_close(torch.tensor(logits), expected)
