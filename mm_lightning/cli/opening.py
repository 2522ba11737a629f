"""Opening a checkpoint without Lightning, to sample from its network and to score with it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from torch import nn

from mm_lightning.cli.devices import settle
from mm_lightning.cli.options.precedence import named_alphabet
from mm_lightning.commands.parts.parsing.nulls import refuse_nulls
from mm_lightning.commands.parts.parsing.parser import OneLineParser
from mm_lightning.commands.parts.samples import Samples, write_all
from mm_lightning.commands.score import print_scores
from mm_lightning.data.splits import SplitItems
from mm_lightning.data.vocabulary import make_vocabulary
from mm_lightning.networks.base import Network
from mm_lightning.networks.building import NetworkFactory, build
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.rounds import ALONE, Share
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint

T = TypeVar("T")


class TrainedModel(nn.Module):
    """The parts of a `LanguageModel` that sampling and scoring need, under the same names.

    Args:
        alphabet: The alphabet.
        network: Makes the network.
        labels: How often the training items have each label.
    """

    def __init__(self, alphabet: str | list[str], network: NetworkFactory, labels: dict[str, int]) -> None:
        super().__init__()
        self.vocabulary = make_vocabulary(alphabet)
        self.labels = labels
        self.network = build(network, len(self.vocabulary), len(labels))


class Alone:
    """A single process, on one device in the precision of the weights.

    Args:
        device: The device.
    """

    share: Share = ALONE
    is_global_zero = True

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def load_weights(self, model: nn.Module, path: Path) -> None:
        """Put a checkpoint's weights into a model, move the model to the device and set eval mode."""
        checkpoint.load_model(model, path, self._device)

    def in_every_process(self, function: Callable[[], T]) -> T:
        """Call a function."""
        return function()


class _StepShape(NamedTuple):
    batch_size: int | None
    block_size: int | None


def _parts(ckpt: Checkpoint) -> tuple[TrainedModel, SplitItems]:
    """Make the model, without its weights, and the training items, from the checked settings of a checkpoint.

    Raises:
        ArgumentError: If a setting is not understood.
        UserError: If a value makes no sense.
    """
    parser = OneLineParser()
    parser.add_class_arguments(TrainedModel, "model")
    parser.add_class_arguments(SplitItems, "data")
    alphabet, labels = ckpt.model["alphabet"], ckpt.model["labels"]
    known = {"alphabet": "", "labels": {}}  # the parser would read a string such as `[]` as a YAML list
    data = {key: value for key, value in ckpt.data.items() if key not in ("batch_size", "block_size", "seed")}
    config = parser.parse_object({"model": {"network": ckpt.model["network"], **known}, "data": {**data, **known}})
    for section in ("model", "data"):
        config[section]["alphabet"], config[section]["labels"] = alphabet, labels
    refuse_nulls(config.as_dict(), {"model": TrainedModel, "data": SplitItems})
    made = parser.instantiate_classes(config)
    return made["model"], made["data"]


def open_network(ckpt: Checkpoint) -> Network:
    """Open the network of a checkpoint, on the CPU in eval mode.

    Raises:
        UserError: If the weights are not those of the network.
    """
    model, _ = _parts(ckpt)
    checkpoint.load_model(model, ckpt.path, torch.device("cpu"))
    return model.network


@contextmanager
def _opened(path: Path, trusted: str, command: str) -> Iterator[tuple[TrainedModel, SplitItems, Alone]]:
    """Open a checkpoint for a command, on the device that the command takes with Lightning; weights are not loaded.

    Raises:
        UserError: If the checkpoint cannot be used; an error about the alphabet names the checkpoint.
    """
    ckpt = checkpoint.read(path, trusted)
    with named_alphabet(lambda: ckpt):
        model, data = _parts(ckpt)
        shape = _StepShape(ckpt.data["batch_size"], ckpt.data["block_size"])
        accelerator = settle({"accelerator": "auto", "devices": "auto"}, command, model.network, shape)["accelerator"]
        yield model, data, Alone(torch.device(accelerator))


def predict(path: Path, trusted: str, options: SamplingOptions) -> None:
    """Sample items and write them, as the command does.

    Args:
        path: The checkpoint.
        trusted: Text from the user, for `checkpoint.read`.
        options: The sampling options.

    Raises:
        UserError: As the command.
    """
    with _opened(path, trusted, "predict") as (model, data, runner):
        samples = Samples(model, data, options, path)
        runner.load_weights(model, path)
        with torch.inference_mode():
            write_all(samples)


def score(path: Path, trusted: str, items: list[str], label: str | None) -> None:
    """Print scores of items, as the command does; the further arguments are those of `predict`."""
    with _opened(path, trusted, "score") as (model, _, runner):
        print_scores(runner, model, path, items, label)
