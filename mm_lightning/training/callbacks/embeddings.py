"""The embedding table in TensorBoard: rows with their symbols in PROJECTOR, and scatters in IMAGES."""

from typing import TYPE_CHECKING

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from mm_lightning.plots import embedding_scatter
from mm_lightning.training.module import LanguageModel

if TYPE_CHECKING:  # takes long to import, and most commands write no curves
    from torch.utils.tensorboard import SummaryWriter


class Embeddings(Callback):
    """Show the embedding of a network that has one: scatters on the way, and the table when training ends.

    A scatter takes as long as hundreds of steps of a small network, so there is one after epochs 1, 2, 4, 8 and so on,
    as rows move most at first, and one at the end.
    """

    def __init__(self) -> None:
        self._drawn_step = -1

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, if the epoch's number is a power of 2."""
        number = trainer.current_epoch + 1
        if number & (number - 1) == 0:
            self._draw(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, and write the table."""
        self._draw(trainer, pl_module)
        if (table := _table(trainer, pl_module)) is not None:
            writer, weight, symbols = table
            writer.add_embedding(weight, metadata=symbols, tag="embedding", global_step=trainer.global_step)

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        table, step = _table(trainer, pl_module), trainer.global_step
        if table is None or step == self._drawn_step:
            return
        self._drawn_step = step
        writer, weight, symbols = table
        writer.add_figure("embedding", embedding_scatter(weight, symbols), step)


def _table(trainer: pl.Trainer, pl_module: pl.LightningModule) -> tuple["SummaryWriter", Tensor, list[str]] | None:
    """Where to write, rows and their symbols; None if there are no rows, or nowhere to write."""
    assert isinstance(pl_module, LanguageModel)
    table = getattr(pl_module.network, "embedding", None)
    if table is None or not isinstance(trainer.logger, TensorBoardLogger) or not trainer.is_global_zero:
        return None
    return trainer.logger.experiment, table.weight, pl_module.vocabulary.symbols()
