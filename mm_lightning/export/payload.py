"""A trained model as the page carries it: a description in JSON, and all numbers as one binary.

The description of a network is generic: its class, the arguments of its constructor, and its tensors. The page computes
a class for which it has a module. A network of another class becomes a table of the logits of all windows.
"""

import copy
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mm_lightning import UserError
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import UNKNOWN, Vocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.export.binary import Binary, Description, Weights
from mm_lightning.export.bloom import BloomFilter, make_filter
from mm_lightning.export.facts import Facts
from mm_lightning.networks.base import Network
from mm_lightning.networks.parts.label_view import LabelView
from mm_lightning.training.module import LanguageModel

PAGE = Path(__file__).parent / "page"
_FORMAT = 1


def page_classes() -> list[str]:
    """Names of the classes of networks that the page has a module for."""
    text = (PAGE / "networks/index.js").read_text(encoding="utf-8")
    names = re.search(r"^const NETWORK_CLASSES = \{(.*?)^\};", text, re.DOTALL | re.MULTILINE)
    assert names is not None
    return [name.strip() for name in names[1].split(",") if name.strip()]


def _has_module(network: Network) -> bool:
    """Whether the page computes the network; a user's own class may have the name of one of ours."""
    kind = type(network)
    return kind.__module__.startswith("mm_lightning.networks.") and kind.__name__ in page_classes()


def _settings(make_network: Callable[..., Network], network: Network) -> Description:
    """Plain arguments of a network's constructor; a factory made by the command line is a `partial` of them."""
    if not isinstance(make_network, partial | type):
        raise TypeError(f"{make_network} does not tell the network's arguments; give a class or a functools.partial")
    given: dict[str, Any] = make_network.keywords if isinstance(make_network, partial) else {}
    defaults = {
        name: parameter.default
        for name, parameter in signature(type(network)).parameters.items()
        if parameter.default is not Parameter.empty
    }
    return {name: value for name, value in {**defaults, **given}.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def _tensors(network: Network) -> dict[str, Tensor]:
    """Tensors of a network; a normalisation by batch statistics becomes a scale and a shift."""
    result = network.state_dict()
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm1d):
            prefix = f"{name}."
            state = {
                key.removeprefix(prefix): result.pop(key).double() for key in list(result) if key.startswith(prefix)
            }
            scale = state["weight"] / (state["running_var"] + module.eps).sqrt()
            result[f"{prefix}scale"] = scale
            result[f"{prefix}shift"] = state["bias"] - state["running_mean"] * scale
    return result


def _describe(
    make_network: Callable[..., Network], network: Network, vocab_size: int, num_labels: int, binary: Binary
) -> Description:
    """Describe a network, and add its tensors to the binary.

    Raises:
        UserError: If the page cannot compute the network.
    """
    ids = {"vocab_size": vocab_size, "num_labels": num_labels}
    if not _has_module(network):
        rows = binary.add_tensor("the table of logits", _table(network, vocab_size, num_labels))
        settings = {"block_size": network.context, **ids}
        return {"class": "Table", "settings": settings, "tensors": {"rows": rows}, "members": []}
    settings = {**_settings(make_network, network), **ids}
    makers = make_network.keywords["networks"] if network.members else []  # type: ignore[attr-defined] # a partial
    members = [
        _describe(make_member, member, vocab_size, num_labels, binary)
        for make_member, member in zip(makers, network.members, strict=True)
    ]
    tensors = {} if members else _tensors(network)
    described = {name: binary.add_tensor(name, tensor) for name, tensor in tensors.items()}
    return {"class": type(network).__name__, "settings": settings, "tensors": described, "members": members}


def _table(network: Network, vocab_size: int, num_labels: int) -> Tensor:
    """Compute the logits (max(1, L), V^C, V) of all windows of each label.

    Raises:
        UserError: If the network has no context, or the table would be too large.
    """
    views: list[Network] = [LabelView(network, vocab_size, label) for label in range(num_labels)] or [network]
    tables = [view.window_table(lambda logits: logits.cpu().double(), vocab_size) for view in views]
    rows = [table.rows() for table in tables if table is not None]
    if not rows:
        raise UserError(
            f"the network is a {type(network).__name__}; a page can show {', '.join(page_classes())}, "
            "and another network only if its context is short enough for a table of all windows"
        )
    return torch.stack(rows).float()


def _describe_vocabulary(vocabulary: Vocabulary) -> Description:
    has_words = isinstance(vocabulary.alphabet, list)
    return {
        "kind": "words" if has_words else "characters",
        "tokens": [None, *vocabulary.alphabet],
        "unsampled": list(vocabulary.unsampled_ids),
        "unknown": vocabulary.alphabet.index(UNKNOWN) + 1 if has_words else None,
    }


def _describe_filter(seen: BloomFilter, binary: Binary) -> Description:
    return {
        "offset": binary.add(seen.content),
        "numBytes": len(seen.content),
        "numBits": seen.num_bits,
        "numHashes": seen.num_hashes,
        "numItems": seen.num_items,
        "errorRate": seen.error_rate,
    }


def as_json(value: Any) -> Any:
    """Replace numbers that JSON cannot express by strings, which JavaScript's `Number` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True)
class Payload:
    """A model for the page.

    Args:
        text: Text of the page's element `model`; it has no `<`, so it cannot end the element.
        classes: Classes of the networks, among those that the page has a module for.
    """

    text: str
    classes: frozenset[str]


@torch.no_grad()
def make_payload(model: LanguageModel, facts: Facts, seen: Items | None, weights: Weights) -> Payload:
    """Make the payload of a model.

    Raises:
        UserError: If the page cannot compute the network, or a weight is too large for float16.
    """
    binary = Binary(weights)
    counts = list(model.labels.values())
    network = _describe(model.make_network, model.network, len(model.vocabulary), len(counts), binary)
    content = {
        "format": _FORMAT,
        "vocabulary": _describe_vocabulary(model.vocabulary),
        "labels": list(model.labels),
        "labelShares": [count / sum(counts) for count in counts],
        "network": network,
        "facts": asdict(facts),
        "seen": None if seen is None else _describe_filter(make_filter(seen), binary),
    }
    text = json.dumps({"json": as_json(content), "binary": binary.text()}, allow_nan=False, separators=(",", ":"))
    return Payload(text.replace("<", "\\u003c"), frozenset(_classes(network)))


def _classes(network: Description) -> Iterator[str]:
    """Names of the classes of a network and its members."""
    yield network["class"]
    for member in network["members"]:
        yield from _classes(member)


@torch.no_grad()
def packed_loss_change(model: LanguageModel, items: Items) -> float:
    """Compute the nats per target that float16 weights add to the loss on items.

    Raises:
        UserError: If a character is not in the vocabulary, or a loss is NaN.
    """
    packed = copy.deepcopy(model.network)
    _round(packed)
    change = score(packed, model.vocabulary, items) - score(model.network, model.vocabulary, items)
    num_targets = model.vocabulary.encode(items)[1] + 1
    weights = np.ones_like(num_targets) if items.weights is None else items.weights
    return float(change.double().numpy() @ weights / (num_targets @ weights))


def _round(network: Network) -> None:
    """Round what a page with float16 weights has in float16: float32 weights, or the logits of a table."""
    if not _has_module(network):
        network.register_forward_hook(lambda _, __, logits: logits.half().to(logits.dtype))
        return
    for member in network.members:
        _round(member)
    rounded = () if network.members else network.named_modules()
    for _, module in rounded:
        if not isinstance(module, nn.BatchNorm1d):  # scales and shifts stay in double precision
            for weight in module.parameters(recurse=False):
                if weight.dtype != torch.float64:
                    weight.copy_(weight.half())
