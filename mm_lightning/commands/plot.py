"""`plot`: figures of a checkpoint and its run. All are made before the first is written, so an error leaves no file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.utilities.seed import isolate_rng

from mm_lightning import UserError, plots
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.encoding import encode
from mm_lightning.evaluation.activations import tanh_activations
from mm_lightning.evaluation.bigrams import bigram_counts, most_frequent
from mm_lightning.evaluation.logged_losses import logged_losses
from mm_lightning.files import check_folder, folder_for_files, write_together
from mm_lightning.training import checkpoint, run_folders
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer
from mm_lightning.training.trial_steps import TrialSteps, update_ratios

if TYPE_CHECKING:  # matplotlib takes most of a second to import
    from matplotlib.figure import Figure

_DPI = 150
_DEV_WINDOWS, _DEV_ITEMS = 1000, 100  # examples for the activations: a similar number of targets
_TRIAL_STEPS = 100
_MAX_IDS_SHOWN_WHOLE = 101  # of a vocabulary, in the heat map
_IDS_SHOWN = 60  # the most frequent of a larger vocabulary


class Gallery:
    """Figures of a checkpoint, one per method, named as its file; a method raises UserError if it cannot make one.

    Args:
        trainer: The Trainer, with device, precision and the settings of the run's steps.
        model: The model with the checkpoint's weights, on the device.
        data: The data.
        path: The checkpoint's file.
        content: The checkpoint's content.
    """

    def __init__(
        self, trainer: Trainer, model: LanguageModel, data: ItemsDataModule, path: Path, content: dict[str, Any]
    ) -> None:
        self._trainer = trainer
        self._model = model
        self._data = data
        self._path = path
        self._content = content
        self._network = type(model.network).__name__

    def embedding(self) -> "Figure":
        """Scatter of the embedding table."""
        table = self._model.network.embedding_table
        if table is None:
            raise UserError(f"{self._network} has no embedding table")
        return plots.embedding_scatter(table, self._model.vocabulary.symbols())

    def bigrams(self) -> "Figure":
        """Bigram counts of all splits."""
        self._data.setup("plot")
        vocabulary = self._model.vocabulary
        symbols, size = vocabulary.symbols(), len(vocabulary)
        stream = np.concatenate([encode(split, vocabulary).stream.numpy() for split in self._data.splits.all])
        ids = most_frequent(stream, size, size if size <= _MAX_IDS_SHOWN_WHOLE else _IDS_SHOWN)
        title = f"bigrams of {self._data.path}"
        if len(ids) < size:
            title += f", the {len(ids)} most frequent of {size:,} symbols"
        if any(split.weights is not None for split in self._data.splits.all):
            title += ", each item once"
        return plots.bigram_heat_map(bigram_counts(stream, size, ids), [symbols[i] for i in ids], title)

    def loss(self) -> "Figure":
        """Loss curves of the checkpoint's run."""
        run = run_folders.run_of(self._path)
        if run is None:
            raise UserError(f"{self._path} lies in no run folder, which would have the curves")
        curves = logged_losses(run)
        if "train/loss" not in curves or len(curves["train/loss"].steps) < 2:
            raise UserError(f"{run} has no curve of train/loss")
        return plots.loss_curves(
            curves["train/loss"], curves.get("val/loss"), self._content["global_step"], self._data.loss_note
        )

    def activations(self) -> "Figure":
        """Activations of the tanh units on examples of the dev split."""
        self._data.setup("plot")
        x, y = self._data.dev_examples(_DEV_WINDOWS if self._data.block_size else _DEV_ITEMS)
        with self._trainer.precision_plugin.forward_context():
            layers = tanh_activations(self._model.network, x, y)
        if not layers:
            raise UserError(f"{self._network} has no tanh units")
        return plots.activation_histograms(layers)

    def updates(self) -> "Figure":
        """Update-to-data ratios of the steps after the checkpoint, at the checkpoint's learning rate."""
        if not self._model.learns_by_gradient:
            raise UserError(f"{self._network} does not learn by gradient")
        if "optimizer_states" not in self._content:
            raise UserError(f"{self._path} has no state of the optimiser")
        if (teacher := checkpoint.run_config(self._content, self._path).get("teacher")) is not None:
            raise UserError(f"{self._path} learned from {teacher} too, which these steps would leave out")
        self._data.load_state_dict(self._content[checkpoint.DATA])
        batches = self._data.train_dataloader()
        step = self._content["global_step"]
        with isolate_rng():
            torch.manual_seed(self._data.seed)  # for dropout
            trial = TrialSteps(self._trainer, self._model, batches, self._content)
            ratios = update_ratios(trial, _TRIAL_STEPS, step + 1)
        return plots.update_curves(ratios, step + 1, f"{_TRIAL_STEPS} steps from step {step:,} on")


def _write(figures: dict[Path, "Figure"]) -> None:
    """Write all pictures, or none.

    Raises:
        UserError: If the folder cannot be made, or a picture cannot be written.
    """
    folder = next(iter(figures)).parent
    with folder_for_files(folder, "output"), write_together(list(figures), "output") as files:
        for figure, file in zip(figures.values(), files, strict=True):
            figure.savefig(file, dpi=_DPI, format="png")


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str,
    output: Path = Path("plots"),
) -> None:
    """Pictures.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        ckpt_path: Checkpoint to plot.
        output: Folder for the pictures; made if it does not exist.

    Raises:
        UserError: If nothing can be plotted, or the pictures cannot be written.
    """
    check_folder(output, "output")
    path = Path(ckpt_path)
    datamodule.trainer = trainer
    content = checkpoint.load(path)
    checkpoint.put_weights(model, content, path)
    model.to(trainer.strategy.root_device).eval()
    gallery = Gallery(trainer, model, datamodule, path, content)
    figures: dict[str, Figure] = {}
    left_out: list[str] = []
    for make in (gallery.embedding, gallery.bigrams, gallery.loss, gallery.activations, gallery.updates):
        name = f"{make.__name__}.png"
        try:
            figures[name] = make()
        except UserError as reason:
            left_out.append(f"{name} ({reason})")
    if not figures:
        raise UserError(f"nothing to plot: {'; '.join(left_out)}")
    _write({output / name: figure for name, figure in figures.items()})
    for name in figures:
        print(output / name)
    if left_out:
        print(f"left out: {'; '.join(left_out)}")
