"""Distillation (Hinton et al. 2015, arXiv 1503.02531): a network learns the probabilities of a trained one.

The teacher's probabilities are computed once, and stand in the place of the targets. On a training item they are
averaged with the target itself: a teacher that has learned the item by heart says little more than the target. Items
that the teacher samples have its probabilities alone, and there can be as many as one likes, so the student does not
learn them by heart.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from lightning_utilities.core.rank_zero import rank_zero_info
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.commands.parts.samples import item_bar
from mm_lightning.data.batches import ItemBatches
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.encoding import EncodedItems, encode
from mm_lightning.networks.base import Network
from mm_lightning.networks.building import memory_bytes
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.valid_items import sample_valid
from mm_lightning.training import checkpoint
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.module import LanguageModel

_SHARE = 0.5  # of the teacher in the target of a training item


class Teacher(NamedTuple):
    """A trained model to learn from.

    Args:
        source: Its checkpoint.
        network: Its network, on the CPU in eval mode.
        num_items: Number of items that it samples for its student.
    """

    source: Checkpoint
    network: Network
    num_items: int


def teach(teacher: Teacher, student: LanguageModel, datamodule: ItemsDataModule, shows_bar: bool) -> None:
    """Put a teacher's probabilities in place of the targets of training, and add items that the teacher samples.

    Args:
        teacher: The trained model.
        student: The model that learns from it.
        datamodule: The data; their training items get other targets, and more items follow them.
        shows_bar: Whether a bar on stderr counts the items, which can take minutes.

    Raises:
        UserError: If the teacher has other tokens or labels, or the student cannot learn from probabilities.
    """
    _check(teacher, student, datamodule)
    path, network, own = teacher.source.path, teacher.network, datamodule.examples
    num_bytes = 2 * len(own.stream) // max(1, len(own.lengths)) * (len(own.lengths) + teacher.num_items)
    if (needed := num_bytes * own.vocab_size) > memory_bytes() / 2:
        raise UserError(
            f"--teacher {path}: its probabilities of {own.vocab_size:,} tokens take {needed / 2**30:,.0f} GiB, more "
            "than half of the memory; make --teacher_items smaller, or the vocabulary (--data.max_vocab)"
        )
    soft_targets = _probabilities(network, own, shows_bar).mul_(_SHARE)
    soft_targets[torch.arange(len(own.stream)), own.stream.long()] += 1 - _SHARE
    parts = [replace(own, soft_targets=soft_targets)]
    if teacher.num_items:
        rank_zero_info(f"the teacher samples {teacher.num_items:,} items ...")
        options = SamplingOptions(teacher.num_items, seed=datamodule.seed, max_length=int(own.lengths.max()))
        with item_bar(teacher.num_items, shows_bar, "teacher's items") as bar:
            items, _ = sample_valid(network, datamodule.vocabulary, {}, options, report=bar.update)
        sampled = encode(items, datamodule.vocabulary)
        parts.append(replace(sampled, soft_targets=_probabilities(network, sampled, shows_bar)))
    datamodule.examples = _joined(parts)
    rank_zero_info(f"learns from {checkpoint.describe(path)}: train/loss is that of the teacher's probabilities")


def _check(teacher: Teacher, student: LanguageModel, datamodule: ItemsDataModule) -> None:
    """Check that a student can learn from a teacher.

    Raises:
        UserError: As `teach`.
    """
    path, model = teacher.source.path, teacher.source.model
    if not student.learns_by_gradient:
        raise UserError(f"--teacher {path}: {type(student.network).__name__} does not learn by gradient; leave it out")
    if model["alphabet"] != student.vocabulary.alphabet:
        raise UserError(f"--teacher {path} has other tokens than the data here; train both on the same data")
    if model["labels"].keys() != student.labels.keys():
        raise UserError(f"--teacher {path} has the labels {list(model['labels'])}, and the data here others")
    if teacher.num_items and (student.labels or datamodule.examples.weights is not None):
        raise UserError("--teacher_items is for data without labels and weights; leave it out")


@torch.no_grad()
def _probabilities(network: Network, items: EncodedItems, shows_bar: bool) -> Tensor:
    """Probabilities (num_targets, V) float16 of the id at each place of a stream."""
    result = torch.empty(len(items.stream), items.vocab_size, dtype=torch.float16)
    batches = ItemBatches(replace(items, soft_targets=None), torch.arange(len(items.lengths)))
    with item_bar(len(items.lengths), shows_bar, "teacher's probabilities") as bar:
        for x, y, rows in batches:
            p = network.sequence_logits(x).softmax(-1)  # (B, T, V)
            places = items.starts[rows, None] + torch.arange(x.shape[1])  # (B, T)
            result[places[y >= 0]] = p[y >= 0].half()
            bar.update(len(rows))
    return result


def _joined(parts: list[EncodedItems]) -> EncodedItems:
    """Items of several parts, of which only the first can have labels and weights, and then there is no other."""
    if len(parts) == 1:
        return parts[0]
    soft_targets = [part.soft_targets for part in parts if part.soft_targets is not None]
    return EncodedItems(
        torch.cat([part.stream for part in parts]),
        torch.cat([part.lengths for part in parts]),
        parts[0].vocab_size,
        soft_targets=torch.cat(soft_targets),
    )
