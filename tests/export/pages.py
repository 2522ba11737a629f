"""Models for pages, and logits of a page and of PyTorch."""

import random
from pathlib import Path
from typing import Any

import torch
import yaml
from run_command import ROOT

from mm_lightning.cli import application
from mm_lightning.commands import fit
from mm_lightning.data.items import Items
from mm_lightning.export.facts import Facts, Loss
from mm_lightning.export.html import page
from mm_lightning.networks.parts.label_view import LabelView
from mm_lightning.training.module import LanguageModel

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
FACTS = Facts(
    **{"title": "names", "network": "MLP", "num_parameters": 11_897, "steps": 5, "seed": 42},
    **{"data_name": "names.txt", "data_hash": None, "num_lines": 400, "split": "lecture", "date": "2026-11-29"},
    **{"command": "python -m mm_lightning fit --config configs/mlp.yaml", "config": "", "notes": []},
    **{"losses": {"dev": Loss(2.1, 2.2, 40)}, "versions": {"torch": "2.13.0"}},
)
_QUIET = {
    **{"accelerator": "cpu", "devices": 1, "logger": False, "limit_val_batches": 0},
    **{"enable_progress_bar": False, "enable_model_summary": False},
}
_LOGITS = """prefixes => {
  const { network, labels } = openModel(document.getElementById("model").textContent);
  return prefixes.map(({ ids, label }) => {
    const view = labels.length ? withLabel(network, label) : network;
    const atOnce = view.read(ids, null).logits;
    let logits;
    let state = null;
    ids.forEach((id, i) => {
      if (i < 3) view.read([(id + 1) % view.vocabSize + id - id % view.vocabSize], state); // must not change the state
      ({ logits, state } = view.read([id], state));
    });
    const window = view.context === null ? null : view.inside(ids).window;
    const ofWindow = window ? view.windowLogits(window) : logits;
    return [atOnce, logits, ofWindow].map((each) => Array.from(each));
  });
}"""


def trained(config: Path, folder: Path, num_lines: int = 400) -> tuple[LanguageModel, Items]:
    """Train a recipe for a few steps on some lines of its own data; return the model and the training items."""
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    data = settings.setdefault("data", {})
    lines = (ROOT / data.get("path", "data/names.txt")).read_text(encoding="utf-8").splitlines()
    path = folder / f"{config.stem}.txt"
    path.write_text("\n".join(lines[:: len(lines) // num_lines]) + "\n", encoding="utf-8")
    steps = {"max_steps": 20, "steps_per_execution": 1} if "optimizer" in settings["model"] else {}
    sections = {"model": settings["model"], "data": {**data, "path": str(path)}, "seed_everything": 0}
    built = application.build({**sections, "trainer": {**settings["trainer"], **_QUIET, **steps}})
    built.trainer.callbacks = []
    fit.prepare(built.trainer, built.model, built.datamodule)
    built.trainer.fit(built.model, datamodule=built.datamodule)
    return built.model.eval(), built.datamodule.splits.train


@torch.no_grad()
def enlarge(model: LanguageModel, factor: float) -> None:
    """Multiply the matrices of a model, so that its logits differ as they do after long training."""
    for parameter in model.network.parameters():
        if parameter.dim() > 1:
            parameter.mul_(factor)


def prefixes(model: LanguageModel, items: Items, number: int = 200) -> list[dict[str, Any]]:
    """Beginnings of items, and random ids."""
    chance = random.Random(0)
    ids = [[0]]
    for item in items[: number // 2]:
        encoded = model.vocabulary.encode_item(item)
        ids.append([0, *encoded[: chance.randrange(len(encoded) + 1)]])
    while len(ids) < number:
        length = chance.randrange(12) if len(ids) % 20 else 40  # positions from 32 on share a vector
        ids.append([0, *chance.choices(range(1, len(model.vocabulary)), k=length)])
    return [{"ids": each, "label": chance.randrange(max(1, len(model.labels)))} for each in ids]


def page_logits(open_page: Any, model: LanguageModel, wanted: list[dict[str, Any]], **options: Any) -> torch.Tensor:
    """Logits (number, 3, V) of the page: read at once, read id by id, and of the window."""
    opened = open_page(page(model, FACTS, None, **options))
    return torch.tensor(opened.evaluate(_LOGITS, wanted), dtype=torch.float64)


@torch.no_grad()
def torch_logits(model: LanguageModel, wanted: list[dict[str, Any]]) -> torch.Tensor:
    """Logits (number, V) of PyTorch."""
    views = [LabelView(model.network, len(model.vocabulary), label) for label in range(len(model.labels))]
    networks = views or [model.network]
    rows = [networks[each["label"]].next_logits(torch.tensor([each["ids"]])) for each in wanted]
    return torch.cat(rows).double()
