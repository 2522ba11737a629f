"""The predict command: new items on stdout or in a file."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BasePredictionWriter
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.commands.parts.samples import Batch, SampleOutput, Samples
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


class SampleBatches:
    """The loader of `predict`: pairs of the function that samples and the number of a batch.

    Args:
        samples: The samples; each batch is sampled in `predict_step`.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __len__(self) -> int:
        return self._samples.selection.max_batches

    def __iter__(self) -> Iterator[tuple[Callable[[int], Batch], int]]:
        return ((self._samples.batches.result, batch) for batch in self._samples.selection.batches())


class SampleCounter(pl.Callback):
    """Counter of accepted items, in a process that does not write: all processes end after the same batch.

    Args:
        samples: The samples.
    """

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    @override
    def on_predict_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._samples.selection.choose(outputs.items)


class SampleWriter(BasePredictionWriter):
    """Writer of accepted items.

    Args:
        samples: The samples.

    Raises:
        UserError: If the file cannot be written.
    """

    def __init__(self, samples: Samples) -> None:
        super().__init__(write_interval="batch")
        self._output = SampleOutput(samples)

    @override
    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._output.__enter__()

    @override
    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        self._output.write(prediction)

    @override
    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._output.__exit__(None, None, None)

    @override
    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._output.__exit__(type(exception), exception, exception.__traceback__)


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
    if trainer.progress_bar_callback is not None:
        raise UserError("trainer.enable_progress_bar is true, but predict has a bar of its own; leave it out")
    samples = Samples(model, datamodule, sampling, Path(ckpt_path), trainer.share)
    writer = SampleWriter(samples) if trainer.is_global_zero else SampleCounter(samples)
    trainer.callbacks.append(writer)  # type: ignore[attr-defined] # set by a connector
    batches = SampleBatches(samples)
    pl.Trainer.predict(trainer, model, batches, ckpt_path=ckpt_path, return_predictions=False, weights_only=True)
    shortfall = samples.selection.shortfall()
    if shortfall and trainer.is_global_zero:
        raise UserError(shortfall)
