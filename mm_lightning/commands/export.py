"""The export command: a trained model as files for other places."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.export.facts import Facts
from mm_lightning.files import check_writable, make_folder, unwritable, write_together
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.checkpoint.folder import NEEDS_EXTRA
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer

Format = Literal["html", "onnx", "pt2", "safetensors"]
Weights = Literal["float32", "float16"]
_PACKAGES = {"onnx": ("onnx", "onnxruntime", "onnxscript"), "safetensors": ("safetensors",)}  # of the extra


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    source: Checkpoint,
    output: Path,
    format: Format | None = None,
    weights: Weights = "float32",
) -> None:
    """Write a model in a format for other places, and compare the written model with the checkpoint.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: The data.
        source: The checkpoint.
        output: File to write; with --format safetensors, a folder, which is made if it does not exist.
        format: Format. html is a page that samples without a network connection. onnx runs in onnxruntime, in many
            languages. pt2 is a program of torch.export. safetensors is a folder that opens again as --ckpt_path. The
            default follows from the ending of --output.
        weights: Numbers of the weights in a page. float16 makes the page smaller; the command prints the cost in loss.

    Raises:
        UserError: If the settings do not suit each other, the format cannot express the network, the written model
            differs from the checkpoint, or a file cannot be written.
    """
    trainer.require_one_device()
    if trainer.precision != "32-true":
        raise UserError(f"trainer.precision is {trainer.precision}, but an export has the weights as they are; leave it out")
    chosen = format or _format_of(output)
    if weights != "float32" and chosen != "html":
        raise UserError(f"--weights is {weights}, but --format {chosen} has the weights as they are; leave it out")
    missing = [name for name in _PACKAGES.get(chosen, ()) if find_spec(name) is None]
    if missing:
        raise UserError(f"--format {chosen} {NEEDS_EXTRA} ({', '.join(missing)} is missing)")
    checkpoint.put_weights(model, checkpoint.load(source.path), source.path)
    model.cpu().eval()
