"""The predict command: new items on stdout or in a file."""

from collections.abc import Iterator

import lightning.pytorch as pl

from mm_lightning import UserError
from mm_lightning.commands.sample_writer import SampleWriter
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.sampling import ConditionalSampler, SamplingOptions, Selection
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


class SampleBatches:
    """The loader of `predict`: pairs of the sampler and the index of a batch.

    Args:
        sampler: Samples each batch in `predict_step`.
        selection: Determines the number of batches.
    """

    def __init__(self, sampler: ConditionalSampler, selection: Selection) -> None:
        self._sampler = sampler  # Lightning takes a public `sampler` for the one of a DataLoader
        self.selection = selection

    def __len__(self) -> int:
        return self.selection.max_batches

    def __iter__(self) -> Iterator[tuple[ConditionalSampler, int]]:
        return ((self._sampler, batch) for batch in self.selection.batches())


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str,
    sampling: SamplingOptions = SamplingOptions(),  # noqa: B008 # read only
) -> None:
    """Sample new items and write them, one per line, to stdout or a file.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data, with the training items.
        ckpt_path: Checkpoint to sample from: a file, or last or best for that of the newest run.
        sampling: Sampling options; a token is a character, or a word in a model of sentences.

    Raises:
        UserError: If fewer items than requested were found; the items found are written.
    """
    trainer.require_one_device()
    if trainer.progress_bar_callback is not None:
        raise UserError("trainer.enable_progress_bar is true, but predict has a bar of its own; leave it out")
    has_columns = sampling.output is not None and sampling.output.suffix != ".txt"
    sampler = ConditionalSampler(model.network, model.vocabulary, sampling)
    needs_training_items = sampling.only_new or (has_columns and _has_training_items(datamodule))
    selection = Selection(sampling, datamodule.is_new)
    writer = SampleWriter(selection, datamodule.is_new if needs_training_items else None)
    trainer.callbacks.append(writer)  # type: ignore[attr-defined] # set by a connector
    batches = SampleBatches(sampler, selection)
    pl.Trainer.predict(trainer, model, batches, ckpt_path=ckpt_path, return_predictions=False, weights_only=True)
    if shortfall := selection.shortfall():
        raise UserError(shortfall)


def _has_training_items(datamodule: ItemsDataModule) -> bool:
    """Check whether the data file can be read; a checkpoint can be used without the file."""
    try:
        datamodule.setup("predict")
    except UserError:
        return False
    return True
