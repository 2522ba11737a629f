"""`verify`: the measures of a card, measured again."""

from pathlib import Path

from mm_lightning import UserError
from mm_lightning.commands.parts.own_data import require_own_data
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.files.lists import hash_of_files
from mm_lightning.evaluation.text_table import aligned
from mm_lightning.export.card import Measures, measures_of, read_card
from mm_lightning.export.measuring import sample_quality, split_losses
from mm_lightning.training import checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer

_LOSS_TOLERANCE = 0.0005  # nats: processors round differently
_MAX_SHARE = 100  # larger values are counts
_SAMPLE_TOLERANCE = 0.005  # of 1, or of a larger value: rounding flips a draw now and then


def _is_equal(part: str, claimed: float | None, measured: float | None) -> bool:
    if claimed is None or measured is None:
        return False
    tolerance = _SAMPLE_TOLERANCE * max(1, abs(claimed)) if part == "samples" else _LOSS_TOLERANCE
    return claimed == measured or abs(claimed - measured) <= tolerance  # an infinite loss equals itself


def _format(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if abs(value) < _MAX_SHARE else f"{value:,.0f}"


def _compare(claimed: Measures, measured: Measures) -> tuple[list[list[str]], int]:
    """Rows of a table, and the number of measures that differ or that only one side has."""
    rows, num_different = [], 0
    for part, name in claimed | measured:
        pair = claimed.get((part, name)), measured.get((part, name))
        is_equal = _is_equal(part, *pair)
        num_different += not is_equal
        rows.append([part, name, *map(_format, pair), "" if is_equal else "differs"])
    return rows, num_different


def _read(card: Path) -> str:
    try:
        return card.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{card} cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{card} is no card: it is not UTF-8") from None


def run(trainer: Trainer, model: LanguageModel, datamodule: ItemsDataModule, ckpt_path: str, card: Path) -> None:
    """Measure again what a card claims, and print both figures of each measure.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: All splits of the data that the checkpoint was trained on.
        ckpt_path: The model of the card: a folder, or a checkpoint file.
        card: The card.

    Raises:
        UserError: If a measure differs, the card has no measures, or the data are not the checkpoint's.
    """
    claims = read_card(_read(card), str(card))
    require_own_data(datamodule, ckpt_path, "verify")
    checkpoint.load_model(model, Path(ckpt_path), trainer.strategy.root_device)
    with trainer.strategy.precision_plugin.forward_context():
        measured = measures_of(split_losses(model, datamodule), sample_quality(model, datamodule))
    rows, num_different = _compare(claims.measures, measured)
    print("\n".join(aligned([["of", "measure", "card", "now", ""], *rows], num_left=2)))
    if claims.data_hash != hash_of_files(datamodule.hparams["path"]):
        raise UserError(f"{datamodule.path} is another file than the card's, by its SHA-256")
    if num_different:
        raise UserError(f"{num_different} of {len(rows)} measures of {card} differ")
    print(f"{card}: all {len(rows)} measures are as it says")
