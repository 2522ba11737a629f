"""Negative log-likelihoods of items and probabilities of tokens, for items of one label or of unknown labels."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.commands.parts.roles import Trained
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.evaluation.loss import posterior, score, score_by_label

_NO_LABEL: list[tuple[str | None, float | None]] = [(None, None)]


class Score(NamedTuple):
    """Score of an item; the names of the fields are the columns of the command's output.

    Args:
        word: The item.
        nll: Negative log-likelihood in nats.
        nll_per_char: The same per target.
        label: The likeliest label; None where the model has no labels, or the label is given.
        probability: Probability of that label.
    """

    word: str
    nll: float
    nll_per_char: float
    label: str | None = None
    probability: float | None = None


def check_label(model: Trained, label: str | None) -> None:
    """Check that a model has a label, if one is given.

    Raises:
        UserError: If it does not.
    """
    if label is not None and label not in model.labels:
        known = f"it has {', '.join(model.labels)}" if model.labels else "leave it out"
        raise UserError(f"label is {label}, but the model has no {'such label' if model.labels else 'labels'}; {known}")


def scores(model: Trained, words: Sequence[str], label: str | None = None) -> list[Score]:
    """Score items of one label, or of unknown labels.

    Raises:
        UnknownCharactersError: If an item has a character outside the alphabet.
        UserError: If the model does not have the label.
    """
    check_label(model, label)
    items = Items.from_strings(words)
    num_targets = (model.vocabulary.encode(items)[1] + 1).tolist()
    if model.labels:
        nll, further = _labelled(model, items, label)
    else:
        nll, further = score(model.network, model.vocabulary, items), _NO_LABEL * len(words)
    rows = zip(words, nll.tolist(), num_targets, further, strict=True)
    return [Score(word, value, value / count, *columns) for word, value, count, columns in rows]


def _labelled(
    model: Trained, items: Items, label: str | None
) -> tuple[Tensor, Sequence[tuple[str | None, float | None]]]:
    """Compute the NLL of each item, and its likeliest label with the probability if no label is given."""
    names = list(model.labels)
    nll = score_by_label(model.network, model.vocabulary, items, len(names))
    if label is not None:
        return nll[:, names.index(label)], _NO_LABEL * len(items)
    total, probabilities = posterior(nll, list(model.labels.values()))
    best = probabilities.max(1)
    return total, [(names[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


@torch.no_grad()
def token_probabilities(model: Trained, prefix: str, label: str | None = None) -> Tensor:
    """Compute the probabilities (V,) of the next id after the beginning of an item of one label, or of unknown label.

    Raises:
        UnknownCharactersError: If the prefix has a character outside the alphabet.
        UserError: If the model does not have the label.
    """
    check_label(model, label)
    x = torch.tensor([[BOUNDARY, *model.vocabulary.encode_item(prefix)]], device=model.network.device)  # (1, T)
    numbers = range(len(model.labels) or 1) if label is None else [list(model.labels).index(label)]
    offsets = torch.tensor(numbers, device=x.device)[:, None] * len(model.vocabulary)
    logits = model.network.sequence_logits(x + offsets)  # (L, T, V), for each label
    log_p = logits.cpu().double().log_softmax(2)
    if len(numbers) == 1:
        return log_p[0, -1].exp()
    nll = -log_p[:, :-1].gather(2, x[:, 1:, None].cpu().expand(len(numbers), -1, -1)).sum((1, 2))  # (L,) of the prefix
    _, weights = posterior(nll[None], list(model.labels.values()))
    return weights[0] @ log_p[:, -1].exp()
