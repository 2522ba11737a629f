"""What labels give: losses with and without them, whether samples have their label, and the label by Bayes' rule.

    uv run python benchmarks/labels.py FOLDER

Trains each recipe on data/names.csv with and without the label sex, into FOLDER, unless the run is there; prints a
table in Markdown. The judge of samples is a logistic regression over character n-grams, trained on the train split. All
figures are of the test split, never used to choose settings.
"""

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import posterior, score, score_by_label
from mm_lightning.networks.base import Network
from mm_lightning.sampling.labels import label_sampler
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.selection import Selection
from mm_lightning.sampling.strategy import ConditionalSampler
from mm_lightning.training.module import LanguageModel

_TABLE = ("--data.path", "data/names.csv", "--data.item", "name", "--data.label", "sex", "--data.split", "unique")
RECIPES = {
    "ngram": ("--config", "configs/ngram_labels.yaml"),
    "mlp": ("--config", "configs/mlp_labels.yaml"),
    "lstm": (
        *("--config", "configs/lstm.yaml", *_TABLE, "--data.batch_size", "256", "--trainer.max_steps", "6000"),
        *("--model.network.hidden_dim", "256", "--model.network.dropout", "0.4"),
    ),
}
_MAX_GRAM = 5
_PENALTY = 0.1  # of squared weights; of 1, 0.3, 0.1 and 0.03, best for the dev split but for 0.03, which is as good
_STEPS = 100
_NUM_SAMPLES = 10_000


def grams(item: str) -> list[str]:
    """Return the n-grams of an item with marks at its ends."""
    marked = f"^{item}$"
    return [marked[i : i + n] for n in range(1, _MAX_GRAM + 1) for i in range(len(marked) - n + 1)]


class Judge:
    """Logistic regression over the character n-grams of an item, of two labels.

    Args:
        items: Training items with labels 0 and 1, each item once.
    """

    def __init__(self, items: Items) -> None:
        assert items.labels is not None
        occurring = sorted({gram for item in items for gram in grams(item)})
        self._ids = {gram: i for i, gram in enumerate(occurring)}
        self._weights = nn.EmbeddingBag(len(occurring), 1, mode="sum")
        nn.init.zeros_(self._weights.weight)
        ids, offsets, scale = self._features(list(items))
        targets = torch.from_numpy(items.labels).float()
        optimizer = torch.optim.Adam(self._weights.parameters(), lr=0.1, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, _STEPS)
        for _ in range(_STEPS):
            optimizer.zero_grad()
            logits = self._weights(ids, offsets)[:, 0] * scale
            penalty = _PENALTY * self._weights.weight.square().sum() / (2 * len(items))
            (F.binary_cross_entropy_with_logits(logits, targets) + penalty).backward()
            optimizer.step()
            schedule.step()

    def _features(self, items: list[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids of n-grams end to end, the start of each item, and one over the length of its feature vector."""
        rows = [[self._ids[gram] for gram in set(grams(item)) if gram in self._ids] for item in items]
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.tensor([i for row in rows for i in row])
        return ids, lengths.cumsum(0) - lengths, lengths.clamp(min=1).rsqrt()

    @torch.no_grad()
    def labels(self, items: list[str]) -> NDArray[np.bool_]:
        """Return whether each item has label 1."""
        ids, offsets, scale = self._features(items)
        return (self._weights(ids, offsets)[:, 0] * scale > 0).numpy()


def trained(folder: Path, name: str, options: tuple[str, ...]) -> LanguageModel:
    """Return the model of the best checkpoint of a run, trained if it is not there."""
    path = folder / name / "lightning_logs/version_0/checkpoints/best.ckpt"
    if not path.is_file():
        root = ("--trainer.default_root_dir", str(folder / name))
        subprocess.run([sys.executable, "-m", "mm_lightning", "fit", *options, *root], check=True, stdout=sys.stderr)
    return LanguageModel.load_from_checkpoint(path, map_location="cpu", weights_only=True).eval()


def mean(nll: Tensor, items: Items) -> float:
    """Mean NLL per character, closing boundaries included."""
    return float(nll.double().sum()) / (len(items) + int(items.lengths.sum()))


def samples(model: LanguageModel, label: str) -> list[str]:
    """Sample items of a label."""
    options = SamplingOptions(num_samples=_NUM_SAMPLES, label=label, max_length=30)

    def make_sampler(network: Network, options: SamplingOptions) -> ConditionalSampler:
        return ConditionalSampler(network, model.vocabulary, options)

    sampler = label_sampler(make_sampler, model.network, len(model.vocabulary), model.labels, options)
    return Selection(options, lambda items: [True] * len(items)).items_of(sampler.sample_batch)


def main() -> None:
    """Train, measure and print."""
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    data = ItemsDataModule("data/names.csv", "unique", item="name", label="sex")
    splits, labels = data.splits, list(data.labels)
    bearers = Counter(item for split in splits.all for item in split)  # after the split unique: one per sex
    items = splits.test
    assert items.labels is not None
    is_single = np.array([bearers[item] == 1 for item in items])
    judge = Judge(splits.train.take(np.flatnonzero([bearers[item] == 1 for item in splits.train])))
    is_right = judge.labels(list(items)) == items.labels
    print(f"judge: right for {is_right[is_single].mean():.1%} of {is_single.sum():,} unseen names of one sex")
    real = [f"{is_right[items.labels == label].mean():.1%}" for label in range(2)]
    print(f"judge: of the test names of each sex, {real[0]} and {real[1]} are judged to be of it")
    print("| network | without label | given the label | samples given F: F | given M: M | Bayes label right |")
    print("|---|---|---|---|---|---|")
    for name, options in RECIPES.items():
        model, plain = (
            trained(folder, name, options),
            trained(folder, f"{name}_plain", (*options, "--data.label", "null")),
        )
        without = mean(score(plain.network, plain.vocabulary, replace(items, labels=None)), items)
        given = mean(score(model.network, model.vocabulary, items), items)
        shares = [np.mean(judge.labels(samples(model, label)) == i) for i, label in enumerate(labels)]
        by_label = score_by_label(model.network, model.vocabulary, items, len(labels))
        found = posterior(by_label, list(model.labels.values()))[1].argmax(1).numpy() == items.labels
        share = found[is_single].mean()
        print(f"| {name} | {without:.4f} | {given:.4f} | {shares[0]:.1%} | {shares[1]:.1%} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
