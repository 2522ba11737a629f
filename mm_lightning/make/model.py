"""The model of a list: counts, networks or a mixture of both, whichever is better on held-out items."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from mm_lightning.cli import application
from mm_lightning.commands import fit
from mm_lightning.data.items import Items, isin_sorted
from mm_lightning.data.splits import Splits
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.files import find_shipped
from mm_lightning.make.judging import count, folds, held_out, mixed
from mm_lightning.make.recipe import Recipe
from mm_lightning.networks import Mixture
from mm_lightning.networks.base import Network
from mm_lightning.networks.building import NetworkFactory
from mm_lightning.networks.mixture import MIN_WEIGHT, fit_weights
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.sampler import sample
from mm_lightning.training import checkpoint
from mm_lightning.training.callbacks import BestCheckpoint, LastCheckpoint, RandomState, RunConfig
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.run_folders import LAST, checkpoint_of

_CONTEXTS = (3, 5, 8)  # of counts, in characters
_MIN_GAIN = 0.003  # nats per character; less is not worth the network's time at sampling
_TRAINER = {
    **{"accelerator": "cpu", "devices": 1, "logger": False, "limit_val_batches": 0},
    **{"enable_progress_bar": False, "enable_model_summary": False},
}
_CALLBACKS = (RandomState, RunConfig, BestCheckpoint, LastCheckpoint)  # whose state a checkpoint holds
_PITMAN_YOR = "mm_lightning.networks.PitmanYor"
_SEED = 42
_NAMES = "data/names.txt"
_NAMES_MODEL = "data/names.ckpt"  # made from them by benchmarks/names_model.py
_MIN_KNOWN = 0.5  # share of an alphabet

Settings = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """A kind of model, judged.

    Args:
        name: For people.
        log_p: (num_targets,) log-probabilities of all held-out targets.
    """

    name: str
    log_p: Tensor

    @property
    def loss(self) -> float:
        """Held-out loss in nats per character."""
        return -float(self.log_p.mean())


class ListLearner:
    """Learner of a list, by the model that is best on held-out items: counts, or a mixture of counts and a network.

    Args:
        data: Settings of the data: files and columns.
        items: The different items of the files.
        tell: Called with each candidate when it is judged.

    Attributes:
        chosen: The best candidate so far.
    """

    chosen: Candidate

    def __init__(self, data: Settings, items: Items, tell: Callable[[Candidate], None]) -> None:
        self._items = items
        self.vocabulary = Vocabulary(items.alphabet())
        self._data = {**data, "split": "all"}
        self._tell = tell
        self._folds = folds(items)
        self._start = _names_model(self.vocabulary)
        self._content: Settings = {}
        torch.set_num_threads(1)  # a second thread costs more than it saves in steps as small as these

    @property
    def judgement(self) -> str:
        """How candidates are judged, for people."""
        if len(self._folds) > 1:
            return f"{len(self._folds)}-fold cross-validation"
        return f"{len(self._folds[0].held_out):,} of {len(self._items):,} items held out"

    def preview(self, network: Network, options: SamplingOptions) -> list[str]:
        """Sample items from a network that has learned all items."""
        hashes = np.sort(self._items.hashes())

        def is_new(strings: list[str]) -> list[bool]:
            return [not known for known in isin_sorted(Items.from_strings(strings).hashes(), hashes)]

        return sample(network, self.vocabulary, options, is_new)

    def count(self) -> Network:
        """Choose the context of counts, and count all items.

        Returns:
            The counted network.
        """
        candidates = {context: self._judge_counts(context) for context in self._contexts()}
        context, self.chosen = min(candidates.items(), key=lambda pair: pair[1].loss)
        network = {"class_path": _PITMAN_YOR, "init_args": {"block_size": context}}
        settings = {"model": {"network": network}, "data": {"batch_size": None}, "trainer": {"max_epochs": 1}}
        counted, self._content = self._learn(settings)
        return counted

    def mix(self, recipe: Recipe) -> None:
        """Judge networks, and their mixture with the counts; keep the better of both if it is better than counts."""
        log_p = self._held_out(lambda items: self._mean_network(recipe, items))
        network = Candidate(f"{recipe.name}{self._start_note(recipe.settings)}", log_p)
        self._tell(network)
        weight = fit_weights([self.chosen.log_p, log_p])[0]
        if weight < MIN_WEIGHT:
            best, parts, weights = network, [], _shares(1, recipe.copies)
        else:
            name = f"counts ({weight:.0%}) and network ({1 - weight:.0%})"
            best = Candidate(name, mixed(self.chosen.log_p, log_p, weight))
            self._tell(best)
            parts, weights = [self._content], [weight, *_shares(1 - weight, recipe.copies)]
        if best.loss < self.chosen.loss - _MIN_GAIN:
            parts += [self._learn(settings)[1] for settings in _seeded(recipe)]
            self._content = checkpoint.join(parts, weights) if len(parts) > 1 else parts[0]
            self.chosen = best

    def _start_note(self, settings: Settings) -> str:
        """How a network of these settings begins; names that it knows already lower its held-out loss."""
        if self._start_of(settings) is None:
            return ""
        names = set(Path(find_shipped(_NAMES)).read_text(encoding="utf-8").split())
        known = len(names.intersection(map(str.lower, self._items)))
        seen = f", which have {known:,} of these items" if known else ""
        return f", begun from the shipped names{seen}"

    def _start_of(self, settings: Settings) -> Checkpoint | None:
        """The model that a network begins from; None for a counted network, or one of other sizes."""
        is_of_size = self._start is not None and _sizes(settings["model"]) == _sizes(self._start.model)
        return self._start if is_of_size else None

    def _mean_network(self, recipe: Recipe, items: Items) -> Network:
        """Fit the copies of a network to items; return the mean of their probabilities."""
        networks = [self._fit(settings, items) for settings in _seeded(recipe)]
        makers: list[NetworkFactory] = [lambda _, network=each, **__: network for each in networks]
        return Mixture(len(self.vocabulary), makers, _shares(1, recipe.copies)).eval()

    def save(self, path: Path, record: Settings) -> None:
        """Save the model as a checkpoint, with a record of how it was chosen.

        Raises:
            UserError: If the file cannot be written.
        """
        checkpoint.save({**self._content, checkpoint.MADE: record}, path)

    def _contexts(self) -> list[int]:
        """Contexts to judge, as far as an n-gram of this alphabet is a 63-bit number."""
        longest = max(n for n in range(1, _CONTEXTS[-1] + 1) if n == 1 or len(self.vocabulary) ** (n + 1) < 1 << 63)
        return sorted({min(context, longest) for context in _CONTEXTS})

    def _judge_counts(self, context: int) -> Candidate:
        log_p = self._held_out(lambda items: count(items, self.vocabulary, context))
        candidate = Candidate(f"counts, context {context}", log_p)
        self._tell(candidate)
        return candidate

    def _held_out(self, learn: Callable[[Items], Network]) -> Tensor:
        return held_out(self._folds, self.vocabulary, learn)

    def _learn(self, settings: Settings) -> tuple[Network, Settings]:
        """Fit a network to all items; return the network and the content of its checkpoint."""
        with tempfile.TemporaryDirectory() as folder:
            network = self._fit(settings, self._items, Path(folder))
            return network, checkpoint.load(checkpoint_of(Path(folder), LAST))

    def _fit(self, settings: Settings, items: Items, run_folder: Path | None = None) -> Network:
        """Fit a network to items, and leave a checkpoint in the run folder if there is one."""
        alphabet: Settings = {"alphabet": self.vocabulary.alphabet, "labels": {}}  # for which the file would be read
        data, trainer = {**self._data, **alphabet, **settings["data"]}, {**settings["trainer"], **_TRAINER}
        built = application.build({**settings, "data": data, "trainer": trainer})
        built.datamodule.splits = Splits(items, items[:0], items[:0])
        callbacks: list[Callback] = built.trainer.callbacks  # type: ignore[attr-defined] # set by a connector
        is_kept = run_folder is not None
        built.trainer.callbacks = [  # type: ignore[attr-defined]
            each for each in callbacks if is_kept and isinstance(each, _CALLBACKS)
        ]
        built.trainer.run_folder = run_folder
        fit.prepare(built.trainer, built.model, built.datamodule)
        if start := self._start_of(settings):
            fit.begin_from(built.model, start)
        built.trainer.fit(built.model, datamodule=built.datamodule)
        return built.model.network.eval()


def _names_model(vocabulary: Vocabulary) -> Checkpoint | None:
    """The shipped model of names, for a network to begin from; None if it knows few letters of the alphabet."""
    start = checkpoint.read(Path(find_shipped(_NAMES_MODEL)))
    known = sum(character.lower() in start.model["alphabet"] for character in vocabulary.alphabet)
    return start if known >= _MIN_KNOWN * len(vocabulary.alphabet) else None


def _sizes(model: Settings) -> tuple[str, list[int]]:
    """Class and sizes of a network, by which two have the same weights."""
    arguments = model["network"]["init_args"]
    return model["network"]["class_path"], [arguments.get(name) for name in ("embed_dim", "hidden_dim")]


def _seeded(recipe: Recipe) -> list[Settings]:
    """Settings of each copy of a recipe's network."""
    return [{**recipe.settings, "seed_everything": seed} for seed in range(_SEED, _SEED + recipe.copies)]


def _shares(total: float, count: int) -> list[float]:
    return [total / count] * count
