"""Refusal of settings in a checkpoint that could run code: the command line builds objects from them."""

import re
from pathlib import Path
from typing import Any

from mm_lightning import UserError

_TRUSTED = ("mm_lightning.networks.", "torch.optim.", "lightning.pytorch.cli.ReduceLROnPlateau")


NAMED_AS_OWN = "name it with --config or on the command line, as in --model.network {}"


def refuse_code(model: dict[str, Any], path: Path, trusted: str, how: str = NAMED_AS_OWN) -> None:
    """Refuse settings that could name a class or function outside this application.

    Args:
        model: Arguments of the LightningModule.
        path: The checkpoint's file.
        trusted: Text from the user; a class of another package is used only if the text names it.
        how: How a user names it there, with {} for the class.

    Raises:
        UserError: Names the class or the setting.
    """
    settings = {key: value for key, value in model.items() if key not in ("alphabet", "labels")}
    _refuse_classes(settings, path, set(re.split(r"[^\w.]+", trusted)), how)


def foreign_classes(model: dict[str, Any]) -> dict[str, str]:
    """Class paths outside this application among the arguments of the LightningModule, by argument."""
    paths = {
        key: value["class_path"] for key, value in model.items() if isinstance(value, dict) and "class_path" in value
    }
    return {key: name for key, name in paths.items() if not name.startswith(_TRUSTED)}


def _refuse_classes(value: Any, path: Path, trusted: set[str], how: str) -> None:
    """Refuse foreign classes, and every other string with a dot: it could be the import path of a function."""
    if isinstance(value, dict):
        name = str(value.get("class_path", _TRUSTED[0]))
        if not name.startswith(_TRUSTED) and name not in trusted:
            raise UserError(
                f"{path} names {name}, which is not part of this application; if you trust it, {how.format(name)}"
            )
        for key, inner in value.items():
            if key != "class_path":
                _refuse_classes(inner, path, trusted, how)
                if isinstance(inner, str) and "." in inner:
                    raise UserError(f"{path} sets {key} to {inner}, which could name code to run; it is not opened")
    elif isinstance(value, list | tuple | set):
        for inner in value:
            _refuse_classes({"an element": inner}, path, trusted, how)
