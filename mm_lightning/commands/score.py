"""The score command: the negative log-likelihood of given items."""

from pathlib import Path

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.reading import read_items
from mm_lightning.data.vocabulary import UnknownCharactersError
from mm_lightning.evaluation.loss import score
from mm_lightning.files import find_shipped
from mm_lightning.training import checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


def run(trainer: Trainer, model: LanguageModel, ckpt_path: str, words: list[str], input: Path | None = None) -> None:
    """Print the negative log-likelihood of items in nats, in total and per target.

    The targets of an item are its tokens (characters, or words of a sentence) and the closing boundary.

    Args:
        trainer: The Trainer.
        model: The model.
        ckpt_path: Checkpoint to score with: a file, or last or best for that of the newest run.
        words: Items to score.
        input: File of items to score, one per line.

    Raises:
        UserError: If no item is given, or if an item has a character outside the alphabet; other items are scored.
    """
    trainer.require_one_device()
    items = words + ([] if input is None else list(read_items(find_shipped(str(input)))))
    if not items:
        raise UserError("score: give items, or a file of items with --input")
    num_targets: dict[str, int] = {}
    refused: dict[str, str] = {}
    for item in items:
        try:
            num_targets[item] = len(model.vocabulary.encode_item(item)) + 1
        except UnknownCharactersError as error:
            refused[item] = str(error)
    accepted = [item for item in items if item not in refused]
    checkpoint.load_model(model, Path(ckpt_path), trainer.strategy.root_device)
    with trainer.strategy.precision_plugin.forward_context():
        nll = score(model.network, model.vocabulary, Items.from_strings(accepted)).tolist()
    print("word\tnll\tnll_per_char")
    for item, value in zip(accepted, nll, strict=True):
        print(f"{item}\t{value:.4f}\t{value / num_targets[item]:.4f}")
    if refused:
        raise UnknownCharactersError("; ".join(f"{item!r} is not scored: {reason}" for item, reason in refused.items()))
