"""The score command: the negative log-likelihood of given items. The module itself imports no torch."""

from pathlib import Path

from mm_lightning import UserError
from mm_lightning.commands.parts.roles import Runner, Trained
from mm_lightning.data.files.reading import read_items
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import UnknownCharactersError, Vocabulary
from mm_lightning.files import find_shipped

_CHUNK = 4096  # items that one process scores together


def requested_items(words: list[str], input: Path | None) -> list[str]:
    """The items of the command line and of a file.

    Raises:
        UserError: If there is no item, or the file cannot be read.
    """
    items = words + ([] if input is None else list(read_items(find_shipped(str(input)))))
    if not items:
        raise UserError("score: give items, or a file of items with --input")
    return items


def _refused(vocabulary: Vocabulary, items: list[str]) -> dict[str, str]:
    """Items with characters outside the alphabet, and the reason for each."""
    unknown = set(vocabulary.unknown_characters(Items.from_strings(items)))
    result = {}
    for item in items:
        if unknown.isdisjoint(item):
            continue
        try:
            vocabulary.encode_item(item)
        except UnknownCharactersError as error:
            result[item] = str(error)
    return result


def print_scores(runner: Runner, model: Trained, ckpt_path: Path, items: list[str], label: str | None) -> None:
    """Print the scores of items; arguments and errors are those of `run`."""
    from mm_lightning.commands.parts.scores import Score, check_label, scores  # noqa: PLC0415 # imports torch
    from mm_lightning.sampling.rounds import Rounds  # noqa: PLC0415

    check_label(model, label)
    refused = _refused(model.vocabulary, items)
    accepted = [item for item in items if item not in refused]
    runner.load_weights(model, ckpt_path)
    chunks = [accepted[i : i + _CHUNK] for i in range(0, len(accepted), _CHUNK)]
    rounds = Rounds(lambda number: scores(model, chunks[number], label), len(chunks), runner.share)
    rows = runner.in_every_process(lambda: [row for i in range(len(chunks)) for row in rounds.result(i)])
    if not runner.is_global_zero:
        return
    has_label = bool(model.labels) and label is None
    print("\t".join(Score._fields if has_label else Score._fields[:3]))
    for row in rows:
        further = f"\t{row.label}\t{row.probability:.4f}" if has_label else ""
        print(f"{row.word}\t{row.nll:.4f}\t{row.nll_per_char:.4f}{further}")
    if refused:
        raise UnknownCharactersError("; ".join(f"{item!r} is not scored: {reason}" for item, reason in refused.items()))


def run(
    trainer: Runner,
    model: Trained,
    ckpt_path: str,
    words: list[str],
    input: Path | None = None,
    label: str | None = None,
) -> None:
    """Print the negative log-likelihood of items in nats, in total and per target.

    The targets of an item are its tokens (characters, or words of a sentence) and the closing boundary. A model with
    labels also tells the label that an item most likely has.

    Args:
        trainer: The Trainer.
        model: The model.
        ckpt_path: Checkpoint to score with: a file, or last or best for that of the newest run.
        words: Items to score.
        input: File of items to score, one per line.
        label: Label of the items; null for items of unknown label, in a model with labels.

    Raises:
        UserError: If no item is given, or if an item has a character outside the alphabet; other items are scored. If
            the model does not have the label.
    """
    print_scores(trainer, model, Path(ckpt_path), requested_items(words, input), label)
