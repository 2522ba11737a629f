"""The embedding table in TensorBoard: rows and symbols in the PROJECTOR tab, scatters in the IMAGES tab."""

from typing import TYPE_CHECKING

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from typing_extensions import override

from mm_lightning.plots import embedding_scatter
from mm_lightning.training.callbacks.averaging import averaged_weights
from mm_lightning.training.callbacks.milestones import PICTURES, is_at
from mm_lightning.training.callbacks.run_loggers import event_writer
from mm_lightning.training.module import LanguageModel

if TYPE_CHECKING:  # takes long to import, and most commands write no curves
    from torch.utils.tensorboard import SummaryWriter


class Embeddings(Callback):
    """Scatters of the embedding rows during training, and the table at the end.

    A scatter takes as long as hundreds of steps of a small network. One is written at the milestones `PICTURES`, since
    rows move most at first, and one at the end of training.
    """

    def __init__(self) -> None:
        self._written_step = -1

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a scatter at a milestone."""
        if is_at(PICTURES, trainer, trainer.current_epoch + 1):
            self._write_scatter(trainer, pl_module)

    @override
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a scatter and the table."""
        self._write_scatter(trainer, pl_module)
        with averaged_weights(trainer, pl_module):
            if (found := _writer_and_rows(trainer, pl_module)) is not None:
                writer, rows, symbols = found
                writer.add_embedding(rows, metadata=symbols, tag="embedding", global_step=trainer.global_step)

    def _write_scatter(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        step = trainer.global_step
        with averaged_weights(trainer, pl_module):
            found = _writer_and_rows(trainer, pl_module)
            if found is None or step == self._written_step:
                return
            self._written_step = step
            writer, rows, symbols = found
            writer.add_figure("weights/embedding", embedding_scatter(rows, symbols), step)


def _writer_and_rows(
    trainer: pl.Trainer, pl_module: pl.LightningModule
) -> tuple["SummaryWriter", Tensor, list[str]] | None:
    """The writer of the event files, embedding rows (V, E) and V symbols; None without rows or without TensorBoard."""
    assert isinstance(pl_module, LanguageModel)
    rows = pl_module.network.embedding_table
    if rows is None or (writer := event_writer(trainer)) is None:
        return None
    return writer, rows, pl_module.vocabulary.symbols()
