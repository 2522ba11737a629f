"""Mixture of trained networks, with the weights that are best on the dev split.

Networks that differ in kind are worth most, such as counts and a recurrent network. A mixture is a network like any
other, so everything that takes a checkpoint takes that of a mixture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.compare.opening import open_run, task_of
from mm_lightning.compare.runs import Run
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import predictions
from mm_lightning.networks.mixture import fit_powers, geometric_mean
from mm_lightning.training import checkpoint

_MAX_NUMBERS = 1 << 26  # probabilities of all networks, 512 MiB: with large vocabularies, a part of the dev split


class DevLoss(NamedTuple):
    """Mean NLL of the dev split in nats per target, of all items and of those that the train split lacks."""

    all: float
    unseen: float | None  # None if there are no such items


@dataclass(frozen=True)
class Member:
    """A network of a mixture.

    Args:
        run: Its run.
        weight: Its weight.
        loss: Its loss on the dev split.
    """

    run: Run
    weight: float
    loss: DevLoss


@dataclass(frozen=True)
class Mixed:
    """Networks of runs, and their weights.

    Args:
        members: The networks.
        loss: Loss of the mixture on the dev split.
        left_out: The runs whose weight would be next to nothing.
        part: The number of measured items if they are a part of the dev split, else None.
        loss_note: How items count in the losses; empty where each counts once.
    """

    members: list[Member]
    loss: DevLoss
    left_out: list[Run]
    part: int | None
    loss_note: str

    def lines(self, has_folders: bool = True) -> list[str]:
        """The table for people.

        Args:
            has_folders: Whether a run is named with the folders that it lies in.
        """

        def name(run: Run) -> str:
            return run.name if has_folders else run.bare_name

        note = self.loss_note and f", {self.loss_note}"
        measured = note + ("" if self.part is None else f", on {self.part:,} items")
        rows = [f"  {_shown(each.loss)}  {each.weight:5.2f}  {name(each.run)}" for each in self.members]
        left_out = [f"left out: {name(run)}, which would make the mixture no better" for run in self.left_out]
        mixed = f"val/loss of the mixture: {_shown(self.loss)}{note}; the weights are chosen on the same items"
        return [f"val/loss of each network{measured}, and its weight:", *rows, *left_out, mixed]


def _shown(loss: DevLoss) -> str:
    return f"{loss.all:.4f}" + ("" if loss.unseen is None else f" ({loss.unseen:.4f} on unseen items)")


class _Predictions(NamedTuple):
    """What a network predicts on the dev split: as `predictions`, of all batches."""

    log_p: Tensor
    targets: Tensor
    tags: Tensor

    def loss(self) -> DevLoss:
        """Losses of the targets."""
        nll = -self.log_p.gather(1, self.targets[:, None]).squeeze(1)
        is_seen, counts, _ = self.tags.unbind(1)

        def mean(part: Tensor) -> float:
            return float((nll[part] * counts[part]).sum() / counts[part].sum())

        is_new = is_seen == 0
        return DevLoss(mean(counts > 0), mean(is_new) if is_new.any() else None)


def _part(items: Items, max_targets: int, vocabulary: Vocabulary) -> Items:
    """The first items, of which one at least, that have no more targets than this."""
    num_targets = vocabulary.encode(items)[1] + 1
    return items.take(np.arange(max(1, (num_targets.cumsum() <= max_targets).sum())))


def _predict(
    runs: Sequence[Run], data_path: str | None, tell: Callable[[str], object]
) -> tuple[list[_Predictions], int | None, str]:
    """Compute the predictions of each run on the dev split, or on a part of it.

    Returns:
        The predictions; the number of items of the part, None for the whole split; and how items count in losses.

    Raises:
        UserError: If runs differ in data or tokens, or nothing is held out.
    """
    results, tasks = [], []
    part, note = None, ""
    for run in runs:
        if "network" in run.foreign_classes:
            raise UserError(f"{run.name} has a network of another package, which mix cannot take; leave it out")
        app = open_run(run, data_path, "mix")
        data, model = app.datamodule, app.model
        if not len(dev := data.splits.dev):
            raise UserError(f"{run.name} holds nothing out to find weights on; train it with --data.split lecture")
        tasks.append((*task_of(app), model.vocabulary.alphabet, list(model.labels)))
        if tasks[-1] != tasks[0]:
            raise UserError(f"{runs[0].name} and {run.name} differ in data, split, tokens or labels; mix runs of one")
        items = _part(dev, _MAX_NUMBERS // (len(model.vocabulary) * len(runs)), model.vocabulary)
        note = data.loss_note
        part = len(items) if len(items) < len(dev) else None
        batches = predictions(model.network, data.item_batches(items))
        results.append(_Predictions(*map(torch.cat, zip(*batches, strict=True))))
        tell(run.name)
    return results, part, note


def mix(runs: Sequence[Run], data_path: str | None, tell: Callable[[str], object]) -> Mixed:
    """Find the weights of the networks of runs.

    Args:
        runs: At least 2 runs.
        data_path: Place of the data, if they have moved.
        tell: Called with the name of each measured run.

    Raises:
        UserError: If runs cannot be mixed, or one of them alone is best.
    """
    measured, part, note = _predict(runs, data_path, tell)
    targets, tags = measured[0].targets, measured[0].tags
    log_p = torch.stack([each.log_p for each in measured], 2)  # (num_targets, V, networks)
    weights = fit_powers(log_p, targets, tags[:, 1])
    kept = [i for i, weight in enumerate(weights) if weight > 0]
    if len(kept) < 2:
        best = runs[weights.index(max(weights))].name
        raise UserError(f"{best} alone is as good as a mixture; give runs of networks of other kinds")
    members = [Member(runs[i], weights[i], measured[i].loss()) for i in kept]
    mean = geometric_mean(log_p, torch.tensor(weights, dtype=torch.float64))
    left_out = [run for i, run in enumerate(runs) if i not in kept]
    return Mixed(members, _Predictions(mean, targets, tags).loss(), left_out, part, note)


def save(mixed: Mixed, path: Path) -> None:
    """Save a mixture as a checkpoint, with a record that names no folder.

    Raises:
        UserError: If the file cannot be written.
    """
    content = checkpoint.join(
        [checkpoint.load(member.run.path) for member in mixed.members],
        [member.weight for member in mixed.members],
        geometric=True,
    )
    record = {"command": "mix RUN RUN", "lines": mixed.lines(has_folders=False)}
    checkpoint.save({**content, checkpoint.MADE: record}, path)
