"""All pictures of a checkpoint: drawn first, then written, so that an error leaves nothing half-made."""

import logging
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from mm_lightning import UserError, plots
from mm_lightning.data.batches import Batch
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.encoding import encode
from mm_lightning.evaluation.activations import tanh_activations
from mm_lightning.evaluation.bigrams import bigram_counts, most_frequent
from mm_lightning.files import write_atomically
from mm_lightning.training import checkpoint, run_folders
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer
from mm_lightning.training.trial_steps import update_ratios

if TYPE_CHECKING:  # matplotlib takes most of a second to import
    from matplotlib.figure import Figure

_DPI = 150
_WINDOWS, _WORDS = 1000, 100  # of dev, for the activations: about as many targets of either
_STEPS = 100  # for the updates
_ALL_BIGRAMS = 101  # ids of an alphabet that is shown whole
_SOME_BIGRAMS = 60  # of a larger one


def logged_losses(run: Path) -> dict[str, plots.Curve]:
    """`train/loss` and `val/loss` of a run folder's TensorBoard events, what a resumed run did again only once.

    What is not finite or not above 0 has no logarithm and is left out.
    """
    from tensorboard.backend.event_processing import event_accumulator  # noqa: PLC0415 # takes a second

    logging.getLogger("tensorboard").setLevel(logging.ERROR)  # that a killed run's last points are hidden is meant
    accumulator = event_accumulator.EventAccumulator(str(run), size_guidance={"scalars": 0})
    accumulator.Reload()
    curves = {}
    for tag in {"train/loss", "val/loss"}.intersection(accumulator.Tags()["scalars"]):
        events = accumulator.Scalars(tag)
        points = dict(sorted((e.step, e.value) for e in events if 0 < e.value < float("inf")))
        if points:
            curves[tag] = plots.Curve(np.array(list(points), np.int64), np.array(list(points.values())))
    return curves


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
        self, trainer: Trainer, model: LanguageModel, data: ItemsDataModule, path: Path, content: dict[str, Any]
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
            raise UserError(f"{self._network} has no embedding table")
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
        run = run_folders.run_of(self._path)
        if run is None:
            raise UserError(f"{self._path} lies in no run folder, which would have the curves")
        curves = logged_losses(run)
        if "train/loss" not in curves or len(curves["train/loss"].steps) < 2:
            raise UserError(f"{run} has no curve of train/loss")
        return plots.loss_curves(curves["train/loss"], curves.get("val/loss"), self._content["global_step"])

    def activations(self) -> "Figure":
        """Tanh units on examples of the dev split."""
        self._data.setup("plot")
        x, y = self._data.dev_examples(_WINDOWS if self._data.block_size else _WORDS)
        layers = tanh_activations(self._model.network, x, y)
        if not layers:
            raise UserError(f"{self._network} has no tanh units")
        return plots.activation_histograms(layers)

    def updates(self) -> "Figure":
        """The steps that the run would make next, at the learning rate that it has reached."""
        if self._model.is_counted:
            raise UserError(f"{self._network} is fitted by counting, without steps")
        self._data.load_state_dict(self._content[checkpoint.DATA])
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
        raise UserError(f"output: {output} cannot be made a folder: {error.strerror}") from None


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str,
    output: Path = Path("plots"),
) -> None:
    """Plot a checkpoint and its run; print the path of each picture, and the reason for each that is left out.

    The pictures: the embedding table, the bigrams of the data, the loss of the run, its tanh units on dev items, and
    the size of the next 100 updates beside the weights.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        ckpt_path: Checkpoint to plot: a file, or last or best for that of the newest run.
        output: Folder for the pictures.

    Raises:
        UserError: If nothing can be plotted, or the pictures cannot be written.
    """
    path = Path(ckpt_path)
    trainer.require_one_device()
    datamodule.trainer = trainer
    content = checkpoint.load(path)
    model.load_state_dict(content["state_dict"])
    model.to(trainer.strategy.root_device).eval()
    gallery = Gallery(trainer, model, datamodule, path, content)
    figures: dict[str, Figure] = {}
    left_out: list[str] = []
    for make in (gallery.embedding, gallery.bigrams, gallery.loss, gallery.activations, gallery.updates):
        name = f"{make.__name__}.png"
        try:
            with trainer.strategy.precision_plugin.forward_context():
                figures[name] = make()
        except UserError as reason:
            left_out.append(f"{name} ({reason})")
    if not figures:
        raise UserError(f"nothing to draw: {'; '.join(left_out)}")
    _make_folder(output)
    for name, figure in figures.items():
        with write_atomically(output / name, "output") as partial_path:
            figure.savefig(partial_path, dpi=_DPI, format="png")
        print(output / name)
    if left_out:
        print(f"left out: {'; '.join(left_out)}")
