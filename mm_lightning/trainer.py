"""Lightning's Trainer with this application's verbs; each becomes a subcommand."""

from collections.abc import Iterator
from pathlib import Path

from mm_lightning import checkpoint
from mm_lightning.callbacks import SampleWriter
from mm_lightning.datamodule import WordsDataModule
from mm_lightning.module import LanguageModel
from mm_lightning.run_trainer import RunTrainer
from mm_lightning.sampling import ConditionedSampler, SamplingOptions, Selection
from mm_lightning.scoring import score
from mm_lightning.words import Words, read


class Trainer(RunTrainer):
    """The Trainer of the command line; `fit`, `validate` and `test` are Lightning's."""

    def predict(  # type: ignore[override] # new words are predicted from nothing, so there is no data to pass
        self,
        model: LanguageModel,
        datamodule: WordsDataModule,
        ckpt_path: str,
        sampling: SamplingOptions = SamplingOptions(),  # noqa: B008 # read only
    ) -> None:
        """Write new words, one per line, to stdout or a file.

        Args:
            model: The model.
            datamodule: Knows the training words.
            ckpt_path: Checkpoint to sample from: a file, or last or best for that of the newest run.
            sampling: What to draw.

        Raises:
            ValueError: If fewer words than asked for could be had; those found are written.
        """
        self.need_one_device()
        listed = sampling.output is not None and sampling.output.suffix != ".txt"
        sampler = ConditionedSampler(model.network, model.vocabulary, sampling)
        known = sampling.only_new or (listed and _has_words(datamodule))
        selection = Selection(sampling, datamodule.is_new)
        self.callbacks.append(SampleWriter(selection, datamodule.is_new if known else None))  # type: ignore[attr-defined]
        super().predict(
            model, _Draws(sampler, selection), ckpt_path=ckpt_path, return_predictions=False, weights_only=True
        )
        if shortfall := selection.shortfall():
            raise ValueError(shortfall)

    def score(self, model: LanguageModel, ckpt_path: str, words: list[str], input: Path | None = None) -> None:
        """Print words with their negative log-likelihood in nats, in all and per target.

        The targets of a word are its characters (of a sentence: its words) and the closing boundary.

        Args:
            model: The model.
            ckpt_path: Checkpoint to score with: a file, or last or best for that of the newest run.
            words: Words to score.
            input: File of words to score, one per line.

        Raises:
            ValueError: If there is no word, or some have characters outside the alphabet; the others are scored.
        """
        self.need_one_device()
        wanted = words + ([] if input is None else list(read(input)))
        if not wanted:
            raise ValueError("score: give words, or a file of words with --input")
        targets: dict[str, int] = {}
        refused: dict[str, str] = {}
        for word in wanted:
            try:
                targets[word] = len(model.vocabulary.encode_word(word)) + 1
            except ValueError as error:
                refused[word] = str(error)
        accepted = [word for word in wanted if word not in refused]
        checkpoint.load_weights(model, Path(ckpt_path))
        model.to(self.strategy.root_device).eval()
        with self.strategy.precision_plugin.forward_context():
            nll = score(model.network, model.vocabulary, Words.of(accepted)).tolist()
        print("word\tnll\tnll_per_char")
        for word, value in zip(accepted, nll, strict=True):
            print(f"{word}\t{value:.4f}\t{value / targets[word]:.4f}")
        if refused:
            raise ValueError("; ".join(f"{word!r} is not scored: {reason}" for word, reason in refused.items()))


class _Draws:
    """Blocks to draw, as a loader: as many as the selection wants, at most as many as it allows."""

    def __init__(self, sampler: ConditionedSampler, selection: Selection) -> None:
        self._sampler = sampler  # Lightning takes `sampler` for torch's
        self.selection = selection

    def __len__(self) -> int:
        return self.selection.max_blocks

    def __iter__(self) -> Iterator[tuple[ConditionedSampler, int]]:
        return ((self._sampler, block) for block in self.selection.blocks())


def _has_words(datamodule: WordsDataModule) -> bool:
    """Whether the training words are at hand; a checkpoint may have left its data behind."""
    try:
        datamodule.setup("predict")
    except ValueError:
        return False
    return True
