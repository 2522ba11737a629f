"""Lightning's Trainer with this application's verbs; each becomes a subcommand."""

from collections.abc import Iterator
from pathlib import Path

from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning import checkpoint, lr_range, quality_table
from mm_lightning.callbacks import SampleWriter
from mm_lightning.datamodule import WordsDataModule
from mm_lightning.files import complete
from mm_lightning.lr_find import how_to_use, run_range_test
from mm_lightning.module import LanguageModel
from mm_lightning.pictures import draw
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
        if self.progress_bar_callback is not None:
            raise ValueError("trainer.enable_progress_bar is true, but predict has a bar of its own; leave it out")
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
        self._load(model, ckpt_path)
        with self.strategy.precision_plugin.forward_context():
            nll = score(model.network, model.vocabulary, Words.of(accepted)).tolist()
        print("word\tnll\tnll_per_char")
        for word, value in zip(accepted, nll, strict=True):
            print(f"{word}\t{value:.4f}\t{value / targets[word]:.4f}")
        if refused:
            raise ValueError("; ".join(f"{word!r} is not scored: {reason}" for word, reason in refused.items()))

    def quality(
        self,
        model: LanguageModel,
        datamodule: WordsDataModule,
        ckpt_path: str,
        num_samples: int = 10_000,
        seed: int = 42,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        output: Path | None = None,
    ) -> None:
        """Draw words and print how good they are, beside words of dev measured as if they had been drawn.

        Args:
            model: The model.
            datamodule: The training words, and those held out.
            ckpt_path: Checkpoint to draw from: a file, or last or best for that of the newest run.
            num_samples: Words to draw, those that do not end within the longest training word's length left out.
            seed: Same seed, same words.
            temperature: Divides the logits; 0 takes the most likely character each time.
            top_k: Draw from the k most likely characters only; null for all.
            top_p: Draw from the most likely characters that together reach this probability, in (0, 1].
            output: File for the same figures, .json.

        Raises:
            ValueError: If an option makes no sense, the data are not at hand, or not enough words end in time.
        """
        self.need_one_device()
        try:
            options = SamplingOptions(
                num_samples=num_samples, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed
            )
        except ValueError as error:
            raise ValueError(str(error).replace("sampling.", "--", 1)) from None
        quality_table.check(datamodule, ckpt_path, output)
        self._load(model, ckpt_path)
        with self.strategy.precision_plugin.forward_context():
            words, valid = quality_table.draw(model, datamodule, options)
        table = quality_table.tabulate(datamodule, words, valid)
        print(table)
        if output is not None:
            of = {name: getattr(options, name) for name in ("num_samples", "temperature", "top_k", "top_p", "seed")}
            origin = {"ckpt_path": ckpt_path, "data": datamodule.path, "split": datamodule.split}
            with complete(output, "--output") as partial:
                partial.write_text(table.json({**origin, **of}), encoding="utf-8")

    def _load(self, model: LanguageModel, ckpt_path: str) -> None:
        """Put a checkpoint's weights into the model, and that where it computes, ready for use."""
        checkpoint.load_weights(model, Path(ckpt_path))
        model.to(self.strategy.root_device).eval()

    def plot(
        self, model: LanguageModel, datamodule: WordsDataModule, ckpt_path: str, output: Path = Path("plots")
    ) -> None:
        """Draw pictures of a checkpoint and its run, and print the path of each, and what cannot be drawn and why.

        They are the embedding table, the bigrams of the data, the loss of the run, its tanh units on dev words, and how
        large the run's next 100 steps would be beside the weights.

        Args:
            model: The model.
            datamodule: The data.
            ckpt_path: Checkpoint to draw: a file, or last or best for that of the newest run.
            output: Folder for the pictures.

        Raises:
            ValueError: If nothing can be drawn, or the pictures cannot be written.
        """
        draw(self, model, datamodule, Path(ckpt_path), output)

    def lr_find(
        self,
        model: LanguageModel,
        datamodule: WordsDataModule,
        ckpt_path: str | None = None,
        min_exponent: float = -3,
        max_exponent: float = 0,
        num_steps: int = 1000,
        output: Path = Path("lr_find.png"),
    ) -> None:
        """Find a learning rate by a range test: train for some steps as it rises, and look at the loss.

        Draws loss against learning rate, writes the same numbers beside it, and prints a suggestion: the least rate at
        which the smoothed loss has all but stopped falling. The configured schedule is left out of the test.

        Args:
            model: The model.
            datamodule: The data.
            ckpt_path: Begin with the weights of this checkpoint: a file, or last or best for that of the newest run.
            min_exponent: The test begins with learning rate 10 to the power of this.
            max_exponent: It ends with 10 to the power of this, or where the loss has grown out of bounds.
            num_steps: Optimiser steps, at least 100; the exponent rises evenly from step to step.
            output: Picture to write, a .png file; the numbers go into a .csv file of the same name.

        Raises:
            ValueError: If there is nothing to find, or the files cannot be written.
        """
        lr_range.check_output(output)
        self.need_one_device()
        self.step_singly()
        if ckpt_path is not None:
            checkpoint.load_weights(model, Path(ckpt_path))
        datamodule.setup("fit")
        self.choose_threads(model, datamodule.targets_per_step)
        result = run_range_test(self, model, datamodule, (min_exponent, max_exponent), num_steps)
        rate = result.suggestion
        table = result.save(output)
        print(f"suggested learning rate: {rate:.2g}")
        print(f"use it with fit:  {how_to_use(model, rate)}")
        print(f"picture: {output}, numbers: {table}")
        if result.still_falling:
            rank_zero_info(f"the loss still fell at {result.rates[-1]:.2g}; a higher --max_exponent may show more")


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
