"""The score command: the negative log-likelihood of given items."""

from pathlib import Path

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.reading import read_items
from mm_lightning.data.vocabulary import UnknownCharactersError
from mm_lightning.evaluation.loss import posterior, score, score_by_label
from mm_lightning.files import find_shipped
from mm_lightning.training import checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


def run(
    trainer: Trainer,
    model: LanguageModel,
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
    trainer.require_one_device()
    if label is not None and label not in model.labels:
        known = f"it has {', '.join(model.labels)}" if model.labels else "leave it out"
        raise UserError(f"label is {label}, but the model has no {'such label' if model.labels else 'labels'}; {known}")
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
        nll, columns = _score(model, Items.from_strings(accepted), label)
    print("\t".join(["word", "nll", "nll_per_char", *columns]))
    for i, (item, value) in enumerate(zip(accepted, nll, strict=True)):
        further = "".join(f"\t{column[i]}" for column in columns.values())
        print(f"{item}\t{value:.4f}\t{value / num_targets[item]:.4f}{further}")
    if refused:
        raise UnknownCharactersError("; ".join(f"{item!r} is not scored: {reason}" for item, reason in refused.items()))


def _score(model: LanguageModel, items: Items, label: str | None) -> tuple[list[float], dict[str, list[str]]]:
    """Compute the NLL of each item, and further columns by name: the likeliest label, and its probability."""
    if not model.labels:
        return score(model.network, model.vocabulary, items).tolist(), {}
    names = list(model.labels)
    nll = score_by_label(model.network, model.vocabulary, items, len(names))
    if label is not None:
        return nll[:, names.index(label)].tolist(), {}
    total, probabilities = posterior(nll, list(model.labels.values()))
    best = probabilities.max(1)
    labels = [names[i] for i in best.indices.tolist()]
    return total.tolist(), {"label": labels, "probability": [f"{p:.4f}" for p in best.values.tolist()]}
