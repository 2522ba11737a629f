"""The embedding table in TensorBoard: rows with their symbols in PROJECTOR, and a scatter in IMAGES."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from mm_lightning.module import LanguageModel
from mm_lightning.plots import embedding_scatter


class Embeddings(Callback):
    """Show the embedding of a network that has one, when training ends."""

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write table and picture."""
        assert isinstance(pl_module, LanguageModel)
        table = getattr(pl_module.network, "embedding", None)
        if table is None or not isinstance(trainer.logger, TensorBoardLogger) or not trainer.is_global_zero:
            return
        symbols = pl_module.vocabulary.symbols()
        writer = trainer.logger.experiment
        writer.add_embedding(table.weight, metadata=symbols, tag="embedding", global_step=trainer.global_step)
        writer.add_figure("embedding", embedding_scatter(table.weight, symbols), trainer.global_step)
