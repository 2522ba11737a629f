"""The list of all commands: name, one line of help, and where the work is done. Imports neither torch nor Lightning."""

from argparse import ArgumentParser
from dataclasses import dataclass

DESCRIPTION = "Learn from a list of items, one per line, and make more like them."


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        summary: One line of help.
        module: Module with the command's work; None for a method of Lightning's Trainer.
        details: More help, for `--help` of the command.
        is_light: Whether the module has a `main(args)` that parses its own options and starts without torch.
    """

    summary: str
    module: str | None = None
    details: str = ""
    is_light: bool = False


COMMANDS = {
    "fit": Command("Train a model, from the start or from a checkpoint."),
    "validate": Command("Measure a checkpoint's loss on the dev split."),
    "test": Command("Measure a checkpoint's loss on the test split, never used to choose settings."),
    "predict": Command(
        "Sample new items and write them, one per line, to stdout or a file.", "mm_lightning.commands.predict"
    ),
    "score": Command(
        "Print the negative log-likelihood of items, in total and per target.", "mm_lightning.commands.score"
    ),
    "lr_find": Command(
        "Suggest a learning rate by a range test: train for some steps at a rising rate and compare the losses.",
        "mm_lightning.commands.lr_find",
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
    "plot": Command(
        "Plot what a checkpoint has learned and how it learned: pictures in a folder.", "mm_lightning.commands.plot"
    ),
    "sweep": Command(
        "Search for settings: many short fits, pruned and resumable, and a config of the best.",
        "mm_lightning.sweep.command",
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
