"""Words from the network at the end of every epoch."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from mm_lightning.datamodule import WordsDataModule
from mm_lightning.module import LanguageModel
from mm_lightning.sampling import BLOCK, SamplingOptions, sample
from mm_lightning.words import MAX_LENGTH


class SampleWords(Callback):
    """Print and log a few words after every epoch, each marked if it stands in the training split.

    Every epoch draws with the same random numbers: what changes from line to line is the network.

    Args:
        num_samples: Words per epoch; 0 for none.
    """

    def __init__(self, num_samples: int = 10) -> None:
        if num_samples < 0:
            raise ValueError(f"samples.num_samples is {num_samples}; it must be 0 or more")
        self.num_samples = num_samples

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Draw, print, log."""
        if not self.num_samples or not trainer.is_global_zero:
            return
        data = trainer.datamodule  # type: ignore[attr-defined] # set by Trainer.fit
        assert isinstance(pl_module, LanguageModel)
        assert isinstance(data, WordsDataModule)
        longest = min(MAX_LENGTH, 2 * int(data.train_lengths.max()))
        options = SamplingOptions(num_samples=self.num_samples, max_length=longest)
        pl_module.network.eval()
        words = sample(
            pl_module.network, pl_module.vocabulary, options, data.is_new, rows=min(BLOCK, 2 * self.num_samples)
        )
        pl_module.network.train()
        marked = [(word, new) for word, new in zip(words, data.is_new(words), strict=True)]
        losses = {"train/loss": pl_module.train_loss, "val/loss": trainer.callback_metrics.get("val/loss")}
        shown = ", ".join(f"{name} {float(loss):.4f}" for name, loss in losses.items() if loss is not None)
        comma = "," if any(" " in word for word in words) else ""
        listed = f"{comma} ".join(word if new else f"[{word}]" for word, new in marked)
        pl_module.print(f"step {trainer.global_step}: {shown}; samples ([in training]): {listed}")
        if isinstance(trainer.logger, TensorBoardLogger):
            rows = "\n".join(f"| {word} | {'new' if new else 'in training'} |" for word, new in marked)
            trainer.logger.experiment.add_text("samples", f"| word | |\n|---|---|\n{rows}", trainer.global_step)
