"""Mixture of trained networks, with the weights and entropy slopes that are best on the dev split.

Networks that differ in kind are worth most, such as counts and a recurrent network. A mixture is a network like any
other, so everything that takes a checkpoint takes that of a mixture.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.compare.opening import open_run, task_of
from mm_lightning.compare.runs import Run
from mm_lightning.evaluation.loss import target_log_p
from mm_lightning.networks.mixture import fit_slopes, fit_weights, log_weights_of
from mm_lightning.training import checkpoint

_MIN_WEIGHT = 0.001  # a network below it changes no digit of the loss that people see, and costs as much as the others


class DevLoss(NamedTuple):
    """Mean NLL of the dev split in nats per target, of all items and of those that the train split lacks."""

    all: float
    unseen: float | None  # None if there are no such items


@dataclass(frozen=True)
class Member:
    """A network of a mixture.

    Args:
        run: Its run.
        weight: Its weight in the checkpoint.
        slope: Its entropy slope.
        share: The mean of its weights on the dev split.
        loss: Its loss on the dev split.
    """

    run: Run
    weight: float
    slope: float
    share: float
    loss: DevLoss


@dataclass(frozen=True)
class Mixed:
    """Networks of runs, and their weights.

    Args:
        members: The networks.
        loss: Loss of the mixture on the dev split.
        left_out: Names of the runs whose weight would be next to nothing.
    """

    members: list[Member]
    loss: DevLoss
    left_out: list[str]

    def lines(self) -> list[str]:
        """The table for people."""
        rows = [f"  {_shown(each.loss)}  {each.share:6.1%}  {each.run.name}" for each in self.members]
        left_out = [f"left out: {name}, whose weight would be below {_MIN_WEIGHT:.1%}" for name in self.left_out]
        mixed = f"val/loss of the mixture: {_shown(self.loss)}; the weights are chosen on the same items"
        return ["val/loss of each network, and its mean weight:", *rows, *left_out, mixed]


def _shown(loss: DevLoss) -> str:
    return f"{loss.all:.4f}" + ("" if loss.unseen is None else f" ({loss.unseen:.4f} on unseen items)")


def _loss(log_p: Tensor, tags: Tensor) -> DevLoss:
    """Losses of targets, from their log-probabilities (num_targets,) and the tags of their items (num_targets, 3)."""
    is_seen, counts, _ = tags.unbind(1)

    def mean(part: Tensor) -> float:
        return float(-(log_p[part] * counts[part]).sum() / counts[part].sum())

    is_new = is_seen == 0
    return DevLoss(mean(counts > 0), mean(is_new) if is_new.any() else None)


def _measure(
    runs: Sequence[Run], data_path: str | None, tell: Callable[[str], object]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Compute `target_log_p` of the dev split for each run.

    Raises:
        UserError: If runs differ in data or tokens, or nothing is held out.
    """
    results, tasks = [], []
    for run in runs:
        if "network" in run.foreign_classes:
            raise UserError(f"{run.name} has a network of another package, which mix cannot take; leave it out")
        app = open_run(run, data_path, "mix")
        data, model = app.datamodule, app.model
        if not len(data.splits.dev):
            raise UserError(f"{run.name} holds nothing out to find weights on; train it with --data.split lecture")
        tasks.append((*task_of(app), model.vocabulary.alphabet, list(model.labels)))
        if tasks[-1] != tasks[0]:
            raise UserError(f"{runs[0].name} and {run.name} differ in data, split, tokens or labels; mix runs of one")
        results.append(target_log_p(model.network, data.item_batches(data.splits.dev)))
        tell(run.name)
    return results


def mix(runs: Sequence[Run], data_path: str | None, tell: Callable[[str], object]) -> Mixed:
    """Find the weights of the networks of runs.

    Args:
        runs: At least 2 runs.
        data_path: Place of the data, if they have moved.
        tell: Called with the name of each measured run.

    Raises:
        UserError: If runs cannot be mixed, or one of them alone is best.
    """
    measured = _measure(runs, data_path, tell)
    tags = measured[0][2]
    counts = tags[:, 1]
    constant = fit_weights([log_p for log_p, _, _ in measured], counts)
    kept = [i for i, weight in enumerate(constant) if weight >= _MIN_WEIGHT]
    if len(kept) == 1:
        raise UserError(f"{runs[kept[0]].name} alone is as good as a mixture; give runs of networks of other kinds")
    log_p, entropies = ([measured[i][part] for i in kept] for part in (0, 1))
    weights, slopes = fit_slopes(log_p, entropies, counts)
    log_weights = log_weights_of(weights, slopes, torch.stack(entropies, 1))  # (num_targets, networks)
    shares = (counts[:, None] * log_weights.exp()).sum(0) / counts.sum()
    losses = [_loss(each, tags) for each in log_p]
    members = [
        Member(runs[i], *values) for i, *values in zip(kept, weights, slopes, shares.tolist(), losses, strict=True)
    ]
    left_out = [run.name for i, run in enumerate(runs) if i not in kept]
    return Mixed(members, _loss((log_weights + torch.stack(log_p, 1)).logsumexp(1), tags), left_out)


def save(mixed: Mixed, path: Path) -> None:
    """Save a mixture as a checkpoint.

    Raises:
        UserError: If the file cannot be written.
    """
    content = checkpoint.join(
        [checkpoint.load(member.run.path) for member in mixed.members],
        [member.weight for member in mixed.members],
        [member.slope for member in mixed.members],
    )
    record = {"command": "mix RUN RUN", "lines": mixed.lines()}
    checkpoint.save({**content, checkpoint.MADE: record}, path)
