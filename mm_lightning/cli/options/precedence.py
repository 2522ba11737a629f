"""Precedence of settings: command line over `--config` over checkpoint.

LightningCLI lets a checkpoint's hyper-parameters overrule the command line (lightning 2.6). Here they become the
defaults of the options before parsing. A setting that contradicts the checkpoint's network is an error.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jsonargparse import ArgumentParser, Namespace
from lightning_utilities.core.rank_zero import rank_zero_info

from mm_lightning import UserError
from mm_lightning.data.vocabulary import UnknownCharactersError, abbreviated
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.checkpoint.content import SECTIONS


def _block_size(network: Namespace | None) -> int | None:
    """Context of a network's configuration; None for a sequence network, or where no network is given."""
    block_size: int | None = None if network is None else network.get("init_args.block_size")
    return block_size


def link_settings(parser: ArgumentParser) -> None:
    """Let the application set the options that follow from others."""
    parser.link_arguments("seed_everything", "data.seed")
    parser.link_arguments("model.network", "data.block_size", compute_fn=_block_size)
    parser.link_arguments("data.alphabet", "model.alphabet", apply_on="instantiate")
    parser.link_arguments("data.labels", "model.labels", apply_on="instantiate")


_STEP_SETTINGS = ("accumulate_grad_batches", "gradient_clip_algorithm", "gradient_clip_val")  # of the Trainer
_TEACHER_SETTINGS = ("teacher", "teacher_items")


def defaults(ckpt: Checkpoint, command: str, is_resumed: bool) -> dict[str, Any]:
    """A checkpoint's settings as defaults of a command's options.

    All commands take model and data. `fit` also takes plain values of the other sections and, to resume, the teacher.
    `plot` takes the Trainer's settings of a step. Both take the seed, as their steps follow those of the run. Classes
    outside the model are left out: a checkpoint can come from anywhere, and its callbacks would be run.
    `settle_vocabulary` sets the alphabet: the parser would read a string such as `[]` as a YAML list.
    """
    model = {key: value for key, value in ckpt.model.items() if key not in ("alphabet", "labels")}
    data = {key: value for key, value in ckpt.data.items() if key not in ("block_size", "seed")}
    result = {f"model.{key}": value for key, value in model.items()}
    result |= {f"data.{key}": value for key, value in data.items()}
    if command in ("fit", "plot"):
        result["seed_everything"] = ckpt.data["seed"]
    if command == "fit":
        if is_resumed:
            result |= {name: ckpt.config[name] for name in _TEACHER_SETTINGS if name in ckpt.config}
        for section in SECTIONS:
            for key, value in ckpt.config.get(section, {}).items():
                if value is None or isinstance(value, bool | int | float) or _is_plain_name(value):
                    result[f"{section}.{key}"] = value
                else:
                    rank_zero_info(f"{section}.{key} is not taken from the checkpoint; give it again if it matters")
    elif command == "plot":
        settings = ckpt.config.get("trainer", {})
        result |= {f"trainer.{key}": settings[key] for key in _STEP_SETTINGS if settings.get(key) is not None}
    return result


def set_defaults(parser: ArgumentParser, ckpt: Checkpoint, command: str, is_resumed: bool) -> None:
    """Let a checkpoint's settings be the defaults of a command's parser.

    Args:
        parser: The parser.
        ckpt: The checkpoint.
        command: The command.
        is_resumed: Whether a fit resumes the checkpoint's run; otherwise it begins a new run from the weights.

    Raises:
        UserError: If the parser does not know a setting.
    """
    try:
        parser.set_defaults(defaults(ckpt, command, is_resumed))
    except KeyError as error:
        raise UserError(f"{ckpt.path} has a setting that this version does not know: {error.args[0]}") from None


def _is_plain_name(value: Any) -> bool:
    """Whether a setting is a string such as bf16-mixed; with a dot it could be the import path of a class."""
    return isinstance(value, str) and "." not in value


def check_architecture(config: Namespace, ckpt: Checkpoint) -> None:
    """Refuse settings of another network than the checkpoint's.

    Raises:
        UserError: Names the setting and both values.
    """
    wanted = config["model"]["network"].as_dict()
    for key, (new, old) in _differences(wanted, ckpt.model["network"], "model.network").items():
        raise UserError(f"{key} is {new}, but the checkpoint {ckpt.path} was trained with {old}; leave it out")


def settle_vocabulary(config: Namespace, ckpt: Checkpoint) -> None:
    """Set the alphabet and the labels to the checkpoint's.

    Raises:
        UserError: If the command asks for another alphabet, for other settings that make one, or for labels of a
            checkpoint without labels.
    """
    data, own = config["data"], ckpt.model["alphabet"]
    for key in ("tokens", "max_vocab"):
        if data[key] != ckpt.data.get(key, data[key]):
            raise UserError(
                f"data.{key} is {data[key]}, but the checkpoint {ckpt.path} was trained with {ckpt.data[key]}; "
                "leave it out"
            )
    if data["alphabet"] not in (None, own):
        raise UserError(
            f"data.alphabet is {abbreviated(data['alphabet'])!r}, but the checkpoint {ckpt.path} was trained with "
            f"{abbreviated(own)!r}; leave it out"
        )
    if data["label"] is not None and not ckpt.model["labels"]:
        raise UserError(
            f"data.label is {data['label']}, but the checkpoint {ckpt.path} was trained without labels; leave it out"
        )
    data["alphabet"], data["labels"] = own, ckpt.model["labels"]


@contextmanager
def named_alphabet(checkpoint_in_use: Callable[[], Checkpoint | None]) -> Iterator[None]:
    """Name the checkpoint whose alphabet lacks characters in an error about them."""
    try:
        yield
    except UnknownCharactersError as error:
        source = checkpoint_in_use()
        raise UserError(f"{error}{'' if source is None else f'; its alphabet is that of {source.path}'}") from None


def _differences(new: Any, old: Any, key: str) -> dict[str, tuple[Any, Any]]:
    """The two values at each dotted key where two nested settings differ."""
    if not isinstance(new, dict) or not isinstance(old, dict):
        return {} if new == old else {key: (new, old)}
    result: dict[str, tuple[Any, Any]] = {}
    for name in sorted(new.keys() | old.keys()):
        result |= _differences(new.get(name), old.get(name), f"{key}.{name}")
    return result
