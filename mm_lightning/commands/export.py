"""The export command: a trained model as files for other places."""

import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning import UserError
from mm_lightning.commands.parts.own_data import require_own_data
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.export import html
from mm_lightning.export.binary import Weights
from mm_lightning.export.card import card_text, is_card
from mm_lightning.export.facts import Facts, gather
from mm_lightning.export.measuring import sample_quality, split_losses
from mm_lightning.export.payload import as_json, packed_loss_change
from mm_lightning.files import check_folder, check_writable, folder_for_files, write_together
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.checkpoint.keys import FORMAT_KEY
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.run_folders import CARD, SETTINGS, WEIGHTS
from mm_lightning.training.trainer import Trainer

Format = Literal["html", "onnx", "pt2", "safetensors"]
_ENDINGS: dict[str, Format] = {".html": "html", ".onnx": "onnx", ".pt2": "pt2"}
_PACKAGES = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "safetensors": ("safetensors",)}  # of the extra


def _format_of(output: Path) -> Format:
    """Format by the ending of a file.

    Raises:
        UserError: If no format has the ending.
    """
    if output.suffix not in _ENDINGS:
        raise UserError(f"--output is {output}; give --format, or a name that ends in {', '.join(_ENDINGS)}")
    return _ENDINGS[output.suffix]


def _check(trainer: Trainer, output: Path, format: Format, weights: Weights) -> None:
    """Check settings and output, before the work begins.

    Raises:
        UserError: Names the setting.
    """
    if trainer.precision != "32-true":
        raise UserError(f"trainer.precision is {trainer.precision}, but export computes in 32-true; leave it out")
    if weights != "float32" and format != "html":
        raise UserError(f"--weights is {weights}, but --format {format} has the weights as they are; leave it out")
    missing = [name for name in _PACKAGES.get(format, ()) if find_spec(name) is None]
    if missing:
        raise UserError(f"--format {format} needs {', '.join(missing)}, which {checkpoint.NEEDS_EXTRA}")
    if format == "safetensors":
        check_folder(output, "--output")
        _check_weights(output)
    else:
        check_writable(output, "--output", f".{format}")
    _check_card(_card_of(output, format))


def _card_of(output: Path, format: Format) -> Path:
    return output / CARD if format == "safetensors" else output.with_name(f"{output.name}.card{Path(CARD).suffix}")


def _check_card(path: Path) -> None:
    """Refuse to replace a file that is no card, such as the README.md of a project.

    Raises:
        UserError: If there is such a file.
    """
    if path.exists() and not is_card(path):
        raise UserError(f"--output: {path} exists and is no card; move it, or give another name")


def _check_weights(folder: Path) -> None:
    """Refuse to replace settings and weights of another application, such as those of a model from a hub.

    Raises:
        UserError: If there is such a file.
    """
    for path in (folder / SETTINGS, folder / WEIGHTS):
        if path.exists() and not _are_own(folder / SETTINGS):
            raise UserError(f"--output: {path} exists and is of another application; move it, or give another name")


def _are_own(settings: Path) -> bool:
    """Check whether a file has settings that `--format safetensors` wrote."""
    try:
        content = json.loads(settings.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and FORMAT_KEY in content


def _own_data(datamodule: ItemsDataModule, source: Checkpoint) -> ItemsDataModule | None:
    """The data of the checkpoint; None, with a word on the reason, where they are not at hand."""
    try:
        require_own_data(datamodule, str(source.path), "a measurement")
    except UserError as reason:
        rank_zero_info(f"exported without measurements: {reason}")
        return None
    return datamodule


def _metadata(model: LanguageModel, facts: Facts) -> dict[str, str]:
    """Texts in JSON that a program needs beside the network: what ids and labels stand for, and the facts."""
    vocabulary = model.vocabulary
    return {
        "tokens": json.dumps([None, *vocabulary.alphabet], ensure_ascii=False),  # by id; 0 is the boundary
        "unsampled": json.dumps(vocabulary.unsampled_ids),
        "labels": json.dumps(model.labels, ensure_ascii=False),  # and how often the training items have each
        "facts": json.dumps(as_json(asdict(facts)), ensure_ascii=False),
    }


def _page(model: LanguageModel, facts: Facts, data: ItemsDataModule | None, weights: Weights) -> bytes:
    """Make the page, and print what smaller weights cost.

    Raises:
        UserError: If a page cannot compute the network, or smaller weights cannot be measured.
    """
    items = None if data is None else data.splits.train
    if weights == "float16":
        if data is None:
            raise UserError(f"--weights {weights} needs the data, to measure what it costs; give --data.path")
        is_held_out = len(data.splits.dev) > 0
        change = packed_loss_change(model, data.splits.dev if is_held_out else data.splits.train)
        print(f"--weights {weights}: {'val' if is_held_out else 'train'}/loss changes by {change:+.6f}")
    return html.page(model, facts, items, weights).encode()


def _files(
    format: Format,
    model: LanguageModel,
    source: Checkpoint,
    data: ItemsDataModule | None,
    facts: Facts,
    weights: Weights,
) -> dict[str, bytes]:
    """Make the files of an export, compared with the checkpoint, by name in the folder; "" is the file itself.

    Raises:
        UserError: If the format cannot express the network, or the written model is another one.
    """
    if format == "html":
        return {"": _page(model, facts, data, weights)}
    if format == "safetensors":
        from mm_lightning.export.formats.weights_folder import weights_folder  # noqa: PLC0415 # an extra

        return weights_folder(source)
    from mm_lightning.export.formats.step import make_step  # noqa: PLC0415 # the exporter takes seconds to import

    step = make_step(model.network, len(model.vocabulary))
    if format == "pt2":
        from mm_lightning.export.formats.pt2_file import pt2_file  # noqa: PLC0415 # as above

        return {"": pt2_file(step, _metadata(model, facts))}
    from mm_lightning.export.formats.onnx_file import onnx_file  # noqa: PLC0415 # an extra

    return {"": onnx_file(step, _metadata(model, facts))}


def _write(files: Mapping[Path, bytes], output: Path, format: Format) -> None:
    folder = folder_for_files(output, "--output") if format == "safetensors" else nullcontext()
    with folder, write_together(list(files), "--output") as opened:
        for file, content in zip(opened, files.values(), strict=True):
            file.write(content)
    for path, content in files.items():
        print(f"{path}: {len(content):,} bytes")


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    source: Checkpoint,
    output: Path,
    format: Format | None = None,
    weights: Weights = "float32",
) -> None:
    """Write a model in a format for other places, compared with the checkpoint.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        source: The checkpoint.
        output: File to write; for safetensors a folder, which is made if it does not exist.
        format: html is a page that samples without a network connection. onnx runs in onnxruntime, in many languages.
            pt2 is a program of torch.export. safetensors is a folder that opens again as --ckpt_path. Default: by the
            ending of --output.
        weights: Numbers of the weights in a page. float16 makes the page smaller, and the cost in loss is printed.

    Raises:
        UserError: If settings do not suit each other, the format cannot express the network, the written model is
            another one, or a file cannot be written.
    """
    chosen = format or _format_of(output)
    _check(trainer, output, chosen, weights)
    checkpoint.put_weights(model, checkpoint.load(source.path), source.path)
    model.cpu().eval()
    data = _own_data(datamodule, source)
    if data is not None:
        rank_zero_info("measuring losses and samples for the card ...")
    facts = gather(source, model, data, {} if data is None else split_losses(model, data))
    made = _files(chosen, model, source, data, facts, weights)
    quality = None if data is None else sample_quality(model, data)
    files = {output / name: content for name, content in made.items()}
    file = None if chosen == "safetensors" else output
    card = card_text(facts, model.vocabulary, quality, "" if data is None else data.loss_note, file).encode()
    _write({**files, _card_of(output, chosen): card}, output, chosen)
