"""The exported page in headless Chromium: its size, the time until it can be used, logits and items per second.

Each recipe is trained for a short time on `data/names.txt`, so that samples have about the length of names. The change
of the loss by float16 weights is measured on the dev split.
"""

import contextlib
import io
import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

from mm_lightning.cli.application import main
from mm_lightning.data.files.reading import read_items
from mm_lightning.data.splits import split_items
from mm_lightning.export.facts import Facts
from mm_lightning.export.html import page
from mm_lightning.export.payload import packed_loss_change
from mm_lightning.training.module import LanguageModel

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "data/names.txt"
CHROMIUM = "/usr/bin/chromium"
ROUNDS = 5  # openings of each page
STEPS = {"mlp": ("--trainer.max_steps", "20_000"), "lstm": ("--trainer.max_steps", "600"), "ngram": ()}
_MEASURE = """() => {
  const seconds = (work) => {
    const began = performance.now();
    work();
    return (performance.now() - began) / 1000;
  };
  const text = document.getElementById("model").textContent;
  const loaded = performance.getEntriesByType("navigation")[0].loadEventEnd / 1000;
  const { network, vocabularyDescription, labels, labelShares } = openModel(text);
  const model = { network, vocabulary: new Vocabulary(vocabularyDescription), labels, labelShares };
  const first = seconds(() => openModel(text).network.read([0], null));
  const items = [];
  const sample = (number, partial) => seconds(() => {
    for (const item of sampleItems(model, makeOptions({ ...partial, numSamples: number }))) {
      if (item !== null) items.push(item.text);
      if (items.length === number) break;
    }
  });
  const twenty = sample(20, { seed: 1 });
  items.length = 0;
  const thousand = sample(1000, { seed: 2 });
  const prefixes = items.map((item) => [0, ...model.vocabulary.encode(item)]);
  const numLogits = prefixes.reduce((sum, ids) => sum + ids.length, 0);
  const fresh = openModel(text).network;
  const read = (ids) => ids.reduce((state, id) => fresh.read([id], state).state, null);
  const logits = seconds(() => prefixes.forEach(read));
  items.length = 0;
  const suffix = sample(20, { seed: 3, suffix: "na" });
  return { loaded, first, twenty, suffix, itemsPerSecond: 1000 / thousand, logitsPerSecond: numLogits / logits };
}"""


def fit(recipe: str) -> LanguageModel:
    """Train a recipe for a short time, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        options = ("--data.path", str(NAMES), "--trainer.default_root_dir", folder)
        flags = (*STEPS[recipe], "--trainer.enable_progress_bar", "false")
        main(["fit", "--config", str(ROOT / f"configs/{recipe}.yaml"), *options, *flags])
        checkpoint = Path(folder) / "lightning_logs/version_0/checkpoints/last.ckpt"
        return LanguageModel.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).eval()


def facts_of(recipe: str) -> Facts:
    """Facts that fill the page."""
    return Facts(
        **{"title": "names", "network": recipe, "num_parameters": 0, "steps": 0, "seed": 42, "split": "lecture"},
        **{"data_name": NAMES.name, "data_hash": None, "num_lines": None, "command": "", "config": ""},
        date=datetime.now(UTC).date().isoformat(),
    )


def measure(browser: Browser, html: str) -> dict[str, float]:
    """Median seconds and rates of a page over several openings."""
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.html"
        path.write_text(html, encoding="utf-8")
        for _ in range(ROUNDS):
            opened = browser.new_page()
            opened.goto(path.as_uri())
            rounds.append(opened.evaluate(_MEASURE))
            opened.close()
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def print_row(recipe: str, html: str, figures: dict[str, Any]) -> None:
    """Print the figures of a page."""
    milliseconds = ", ".join(
        f"{name} {1000 * figures[name]:.0f} ms" for name in ("loaded", "first", "twenty", "suffix")
    )
    rates = f"{figures['itemsPerSecond']:,.0f} items/s, {figures['logitsPerSecond']:,.0f} logits/s"
    print(f"{recipe:<8}{len(html.encode()) / 1000:8.0f} KB  {milliseconds}, {rates}")


if __name__ == "__main__":
    splits = split_items(read_items(NAMES), "lecture", str(NAMES))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for recipe in STEPS:
            model = fit(recipe)
            html = page(model, facts_of(recipe), splits.train)
            print_row(recipe, html, measure(browser, html))
            if model.learns_by_gradient:
                size = len(page(model, facts_of(recipe), splits.train, "float16").encode()) / 1000
                change = packed_loss_change(model, splits.dev)
                print(f"{'':8}{size:8.0f} KB with float16 weights; val/loss changes by {change:+.6f}")
        browser.close()
