"""Weights for a model from a checkpoint with another alphabet: each token takes the rows that it had there.

The axes of a weight that run over ids are found by comparing the network with one that has an id more. So a network
need not say which they are, and networks of other packages are mapped as well.
"""

import unicodedata
from typing import Any

import torch
from torch import Tensor, nn

from mm_lightning.data.vocabulary import make_vocabulary
from mm_lightning.networks.building import NetworkFactory, build

Alphabet = str | list[str]
Shapes = dict[str, torch.Size]


class OtherNetworkError(Exception):
    """Exception for weights of another network; the message names a weight."""


def shapes_with_one_id_more(make_network: NetworkFactory, vocab_size: int, num_labels: int = 0) -> Shapes:
    """Shape of each weight of a network of `vocab_size` + 1 ids; takes no memory and no random numbers."""
    with torch.device("meta"):
        network = build(make_network, vocab_size + 1, num_labels)
        return {name: weight.shape for name, weight in network.state_dict().items()}


def begin_from(network: nn.Module, larger: Shapes, alphabet: Alphabet, content: dict[str, Any]) -> int:
    """Put the weights of a checkpoint into a new network, whose alphabet can be another.

    A token that the checkpoint has not takes the rows of the letter it is a variant of, such as e for É. Without such a
    letter it keeps its fresh row of an embedding table, and has the mean row of other weights: a fresh row of an output
    layer would make it too likely.

    Args:
        network: The new network.
        larger: Shapes of its weights with one id more.
        alphabet: Its alphabet.
        content: Content of the checkpoint.

    Returns:
        Number of the alphabet's tokens that the checkpoint has.

    Raises:
        OtherNetworkError: If the checkpoint's network has other weights.
    """
    old_alphabet = content["hyper_parameters"]["alphabet"]
    old_ids, num_known = _old_ids(alphabet, old_alphabet)
    saved = {name.removeprefix("network."): weight for name, weight in content["state_dict"].items()}
    own = network.state_dict()
    old_size = len(make_vocabulary(old_alphabet))
    for name in sorted(own.keys() | saved.keys()):
        if name not in own or name not in saved:
            raise OtherNetworkError(f"only one of them has the weight {name}")
        is_of_ids = [size != own_size for size, own_size in zip(larger[name], own[name].shape, strict=True)]
        expected = [old_size if of_ids else size for of_ids, size in zip(is_of_ids, own[name].shape, strict=True)]
        if expected != list(saved[name].shape):
            raise OtherNetworkError(f"{name} has the shape {tuple(saved[name].shape)} there, not {tuple(expected)}")
        if any(size != len(old_ids) for of_ids, size in zip(is_of_ids, own[name].shape, strict=True) if of_ids):
            raise OtherNetworkError(f"{name} has not one row for each token")
    weights = {name: _rows(saved[name], fresh, larger[name], old_ids) for name, fresh in own.items()}
    for name, module in network.named_modules():
        if isinstance(module, nn.Embedding) and larger[f"{name}.weight"][0] != module.num_embeddings:
            is_unknown = old_ids == old_size
            weights[f"{name}.weight"][is_unknown] = own[f"{name}.weight"][is_unknown]
    network.load_state_dict(weights)
    return num_known


def _rows(saved: Tensor, fresh: Tensor, larger: torch.Size, old_ids: Tensor) -> Tensor:
    """Select the rows of a weight along each axis that runs over ids; the mean row where there is none."""
    result = saved
    for axis in range(fresh.dim()):
        if larger[axis] != fresh.shape[axis]:
            mean = result.double().mean(axis, keepdim=True).to(result)
            result = torch.cat([result, mean], axis).index_select(axis, old_ids)
    return result.to(fresh)


def _old_ids(new: Alphabet, old: Alphabet) -> tuple[Tensor, int]:
    """The old id of each new id (V,), the number of old ids where there is none; and how many tokens are known."""
    ids = {token: number for number, token in enumerate(old, 1)}
    found = [ids.get(token) or ids.get(_plain(token)) or len(ids) + 1 for token in new]
    return torch.tensor([0, *found]), sum(token in ids for token in new)


def _plain(token: str) -> str:
    """A token in small letters without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", token.lower()) if not unicodedata.combining(c))
