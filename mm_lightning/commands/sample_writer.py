"""Sampled words on their way out: to stdout, or to a file that appears when it is complete."""

import csv
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

import lightning.pytorch as pl
from lightning.pytorch.callbacks import BasePredictionWriter
from tqdm import tqdm

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import score
from mm_lightning.sampling import Selection
from mm_lightning.training.module import LanguageModel

_COLUMNS = ("word", "nll", "new")
_SUFFIXES = (".txt", ".csv", ".jsonl")


class SampleWriter(BasePredictionWriter):
    """Write each accepted word: alone on a line, or in .csv and .jsonl with its NLL in nats and whether it is new.

    A bar on stderr counts them, silent where that is no terminal or the words themselves are seen to come.

    Args:
        selection: Which words count.
        is_new: Tells whether words are absent from the training split; null where its file is not at hand.

    Raises:
        UserError: If the file's suffix is unknown or it cannot be written.
    """

    def __init__(self, selection: Selection, is_new: Callable[[list[str]], list[bool]] | None) -> None:
        super().__init__(write_interval="batch")
        self.selection = selection
        self._is_new = is_new
        self._output = output = selection.options.output
        self._file: TextIO = sys.stdout
        self._bar: tqdm[Any] = tqdm(disable=True)  # until drawing begins
        if output is None:
            return
        if output.suffix not in _SUFFIXES:
            raise UserError(f"sampling.output is {output}; its name must end in {', '.join(_SUFFIXES)}")
        self._partial = output.with_name(f".{output.name}.partial")
        try:
            self._file = self._partial.open("w", encoding="utf-8", newline="")
        except OSError as error:
            raise UserError(f"sampling.output: {output} cannot be written: {error.strerror}") from None
        if output.suffix == ".csv":
            csv.writer(self._file).writerow(_COLUMNS)

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar."""
        self._bar = tqdm(
            total=self.selection.options.num_samples,
            unit="word",
            mininterval=0.5,  # seconds
            dynamic_ncols=True,
            leave=False,
            disable=True if self._file.isatty() else None,
        )

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
        """Write what is accepted of one block of draws."""
        assert isinstance(pl_module, LanguageModel)
        words = self.selection.accept(prediction)
        self._write(words, pl_module)
        self._bar.update(len(words))

    def _write(self, words: list[str], model: LanguageModel) -> None:
        if self._output is None or self._output.suffix == ".txt":
            self._file.writelines(f"{word}\n" for word in words)
            return
        nll = [round(x, 4) for x in score(model.network, model.vocabulary, Items.from_strings(words)).tolist()]
        new = [None] * len(words) if self._is_new is None else self._is_new(words)
        rows = list(zip(words, nll, new, strict=True))
        if self._output.suffix == ".csv":
            csv.writer(self._file).writerows(rows)
        else:
            lines = (json.dumps(dict(zip(_COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows)
            self._file.writelines(f"{line}\n" for line in lines)

    def on_predict_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give the file its name."""
        self._bar.close()
        if self._output is None:
            self._file.flush()
        else:
            self._file.close()
            self._partial.replace(self._output)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leave nothing half-made."""
        self._bar.close()
        if self._output is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)
