"""The list of all commands: name, one line of help, and where the work is done. Imports neither torch nor Lightning."""

from argparse import ArgumentParser
from dataclasses import dataclass

DESCRIPTION = "Learn from a list of items, one per line, and make more like them."


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        summary: One line of help.
        module: Module with the command's work, a function `run` that becomes a method of the Trainer; None for a method
            of Lightning's own Trainer.
        details: More help, for `--help` of the command.
        is_light: Whether the module has a `main(args)` that parses its own options and starts without torch.
        is_alone: Whether one process works on one device, whatever the options say; a light command always does.
    """

    summary: str
    module: str | None = None
    details: str = ""
    is_light: bool = False
    is_alone: bool = False


COMMANDS = {
    "make": Command(
        "Make new items from a list, with the model that suits the list.",
        "mm_lightning.make.command",
        "The first call learns the list: counts first, then a network and its mixture with the counts, as far as the "
        "time allows. The model with the lowest loss on held-out items learns all items and is kept below "
        "lightning_logs/make. Later calls take this model. predict, score, quality, export, plot and fit --teacher "
        "take its checkpoint too.",
        is_light=True,
    ),
    "fit": Command("Train a model, from the start or from a checkpoint."),
    "validate": Command("Measure a checkpoint's loss on the dev split."),
    "test": Command("Measure a checkpoint's loss on the test split, never used to choose settings."),
    "predict": Command(
        "Sample new items and write them, one per line, to stdout or a file.", "mm_lightning.commands.predict"
    ),
    "score": Command(
        "Print the negative log-likelihood of items, in total and per target.",
        "mm_lightning.commands.score",
        "A target is a character (in a model of sentences, a word) or the end of an item.",
    ),
    "lr_find": Command(
        "Suggest a learning rate by a range test: take optimiser steps at a rising rate and compare the losses.",
        "mm_lightning.commands.lr_find",
        "The suggestion is the lowest rate at which the smoothed loss has almost stopped falling. The command prints "
        "the suggestion with the option of fit that sets it, and writes the curve as a picture and as a table. The "
        "model's own schedule is left out of the test.",
        is_alone=True,
    ),
    "quality": Command(
        "Sample items and measure how good they are, beside the items of the dev split.",
        "mm_lightning.commands.quality",
        "Columns: words is the number of items measured. valid is the share of samples that ended within the longest "
        "training item's length. unique is the share of different items: of all, of the first 1,000 and of the first "
        "10,000. new is the share of different items that are not in the train split. dev_hits and test_hits are the "
        "shares of that split's items, unseen in training, that were sampled (test_hits is a look at the test split). "
        "lengths, first, last and bigrams compare distributions with those of the training items: of lengths, first "
        "characters, last characters and pairs of characters; each is exp(-KL), 1 where both are equal. edits is the "
        "mean edit distance from a new item to the nearest training item, edits_of the number of items in that mean. "
        "The row dev measures the items of dev as if they were samples. Most measures depend on the number of items: "
        "where dev has fewer items, another row measures only as many samples. For a model of sentences, words take "
        "the place of characters.",
    ),
    "compare": Command(
        "Compare runs: settings, losses, curves, quality, and whether seeds alone explain the difference.",
        "mm_lightning.compare.command",
        "Runs that differ in the seed alone are one group; fit --seeds 3 trains such runs. Each group has its mean "
        "loss and the standard deviation over its seeds. unseen is the loss on items that the train split lacks. A "
        "difference is more than the spread of seeds where Welch's t-test gives p below 0.05: p is the probability of "
        "such a difference if only the seeds differ. With more than two groups, p is multiplied by the number of "
        "pairs. A group of one seed takes the spread of the other group. The checkpoint of a run is best.ckpt, or "
        "last.ckpt where there is no best. docs/runs.md has an example.",
        is_light=True,
    ),
    "mix": Command(
        "Mix trained networks into one model, with the weights that are best on the dev split.",
        "mm_lightning.mix.command",
        "The model is the geometric mean of the networks: the product of their probabilities, each to the power of "
        "its weight. The weights are those with the lowest loss on the dev split; test measures the mixture on items "
        "that nothing was chosen on. Networks that differ in kind are worth most, such as an LSTM and counts. The "
        "runs must have the same data and split. predict, score, validate, test, quality, compare, export, plot and "
        "fit --teacher take the checkpoint of a mixture. docs/mixtures.md has an example.",
        is_light=True,
    ),
    "export": Command(
        "Write a model for other places: a page, ONNX, torch.export or safetensors.",
        "mm_lightning.commands.export",
        "Each program or folder is loaded again and compared with the checkpoint before it takes its name. A program "
        "of onnx or pt2 reads ids and a state, and returns the logits of the next id and the new state; a state is "
        "zeros at the start. The metadata are the tokens, the labels and the facts of the training. docs/share.md has "
        "an example of each format.",
        is_alone=True,
    ),
    "verify": Command(
        "Measure again what a model's card claims, and fail where a measure differs.",
        "mm_lightning.commands.verify",
        "A card without the weights in its folder needs --ckpt_path for the model. The losses of all splits and the "
        "quality of samples are measured; losses may differ by 0.0005 nats, shares by half a percent, as processors "
        "round differently.",
        is_alone=True,
    ),
    "plot": Command(
        "Plot a checkpoint and its run: a folder of pictures.",
        "mm_lightning.commands.plot",
        "The pictures: embedding.png, the rows of the embedding table; bigrams.png, the bigram counts of the data; "
        "loss.png, the loss curves of the run; activations.png, the tanh units on items of the dev split; updates.png, "
        "the size of the next 100 updates relative to the weights. The command prints the path of each picture, and "
        "the reason for each picture that is left out.",
        is_alone=True,
    ),
    "sweep": Command(
        "Search for settings: many short fits, pruned and resumable, and a config of the best.",
        "mm_lightning.sweep.command",
        "Dotted options are settings of fit for every trial, such as --data.path FILE. The same command continues a "
        "sweep that was stopped. Started several times side by side, it shares the trials among the processes.",
        is_light=True,
    ),
    "report": Command(
        "Describe the data: lines, repeats, alphabet, lengths, splits.", "mm_lightning.commands.report", is_light=True
    ),
}


def overview() -> str:
    """Help on all commands."""
    parser = ArgumentParser("mm_lightning", description=DESCRIPTION, epilog="COMMAND --help describes its options.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, command in COMMANDS.items():
        commands.add_parser(name, help=command.summary)
    return parser.format_help()
