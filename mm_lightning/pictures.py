"""All pictures of a checkpoint: drawn first, then written, so that an error leaves nothing half-made."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mm_lightning import checkpoint, plots, runs
from mm_lightning.batches import Batch
from mm_lightning.datamodule import WordsDataModule
from mm_lightning.diagnostics import (
    bigram_counts,
    logged_losses,
    most_frequent,
    tanh_activations,
    update_ratios,
)
from mm_lightning.encoding import encode
from mm_lightning.files import complete
from mm_lightning.module import LanguageModel
from mm_lightning.run_trainer import RunTrainer

if TYPE_CHECKING:  # matplotlib takes most of a second to import
    from matplotlib.figure import Figure

_DPI = 150
_WINDOWS, _WORDS = 1000, 100  # of dev, for the activations: about as many targets of either
_STEPS = 100  # for the updates
_ALL_BIGRAMS = 101  # ids of an alphabet that is shown whole
_SOME_BIGRAMS = 60  # of a larger one


class Gallery:
    """What can be drawn of a checkpoint; each method raises ValueError with the reason where its picture cannot be.

    Args:
        trainer: Knows the device, and what the run's steps are made of.
        model: The model, with the checkpoint's weights, on the device.
        data: The data.
        path: The checkpoint's file.
        content: What it holds.
    """

    def __init__(
        self, trainer: RunTrainer, model: LanguageModel, data: WordsDataModule, path: Path, content: dict[str, Any]
    ) -> None:
        self._trainer = trainer
        self._model = model
        self._data = data
        self._path = path
        self._content = content

    def embedding(self) -> "Figure":
        """The embedding table."""
        table = getattr(self._model.network, "embedding", None)
        if table is None:
            raise ValueError(f"{self._network} has no embedding table")
        return plots.embedding_scatter(table.weight, self._model.vocabulary.symbols())

    def bigrams(self) -> "Figure":
        """Counts of the whole file."""
        self._data.setup("plot")
        vocabulary = self._model.vocabulary
        symbols, size = vocabulary.symbols(), len(vocabulary)
        stream = np.concatenate([encode(part, vocabulary).stream.numpy() for part in self._data.splits.all])
        ids = most_frequent(stream, size, size if size <= _ALL_BIGRAMS else _SOME_BIGRAMS)
        title = f"bigrams of {self._data.path}"
        if len(ids) < size:
            title += f", the {len(ids)} most frequent of {size:,} symbols"
        return plots.bigram_heat_map(bigram_counts(stream, size, ids), [symbols[i] for i in ids], title)

    def loss(self) -> "Figure":
        """The curves of the checkpoint's run."""
        run = runs.run_of(self._path)
        if run is None:
            raise ValueError(f"{self._path} lies in no run folder, which would have the curves")
        curves = logged_losses(run)
        if "train/loss" not in curves or len(curves["train/loss"].steps) < 2:
            raise ValueError(f"{run} has no curve of train/loss")
        return plots.loss_curves(curves["train/loss"], curves.get("val/loss"), self._content["global_step"])

    def activations(self) -> "Figure":
        """Tanh units on examples of the dev split."""
        self._data.setup("plot")
        x, y = self._data.dev_examples(_WINDOWS if self._data.block_size else _WORDS)
        layers = tanh_activations(self._model.network, x, y)
        if not layers:
            raise ValueError(f"{self._network} has no tanh units")
        return plots.activation_histograms(layers)

    def updates(self) -> "Figure":
        """The steps that the run would make next, at the learning rate that it has reached."""
        if self._model.counts:
            raise ValueError(f"{self._network} is fitted by counting, without steps")
        self._data.load_state_dict(self._content[type(self._data).__qualname__])
        with isolate_rng():
            torch.manual_seed(self._data.seed)  # of dropout
            ratios = update_ratios(
                self._model,
                self._content,
                cast(Iterable[Batch], self._data.train_dataloader()),  # no blocks: nobody asked for them
                _STEPS,
                self._trainer.accumulate_grad_batches,
                self._clip(),
            )
        step = self._content["global_step"]
        return plots.update_curves(ratios, step + 1, f"{_STEPS} steps from step {step:,} on")

    def _clip(self) -> Callable[..., object] | None:
        limit = self._trainer.gradient_clip_val
        if not limit:
            return None
        if self._trainer.gradient_clip_algorithm == "value":
            return partial(clip_grad_value_, clip_value=float(limit))
        return partial(clip_grad_norm_, max_norm=float(limit))

    @property
    def _network(self) -> str:
        return type(self._model.network).__name__


def _make_folder(output: Path) -> None:
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"output: {output} cannot be made a folder: {error.strerror}") from None


def draw(trainer: RunTrainer, model: LanguageModel, data: WordsDataModule, path: Path, output: Path) -> None:
    """Write the pictures that can be drawn, and print their paths and in one line what is left out.

    Raises:
        ValueError: If none can be, or the folder cannot be written.
    """
    trainer.need_one_device()
    data.trainer = trainer
    content = checkpoint.load(path)
    model.load_state_dict(content["state_dict"])
    model.to(trainer.strategy.root_device).eval()
    gallery = Gallery(trainer, model, data, path, content)
    figures: dict[str, Figure] = {}
    left_out: list[str] = []
    for make in (gallery.embedding, gallery.bigrams, gallery.loss, gallery.activations, gallery.updates):
        name = f"{make.__name__}.png"
        try:
            with trainer.strategy.precision_plugin.forward_context():
                figures[name] = make()
        except ValueError as reason:
            left_out.append(f"{name} ({reason})")
    if not figures:
        raise ValueError(f"nothing to draw: {'; '.join(left_out)}")
    _make_folder(output)
    for name, figure in figures.items():
        with complete(output / name, "output") as partial_path:
            figure.savefig(partial_path, dpi=_DPI, format="png")
        print(output / name)
    if left_out:
        print(f"left out: {'; '.join(left_out)}")
