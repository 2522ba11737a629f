"""`quality`: measures of generated items, beside the measures of the dev split."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.ranges import Count, PositiveFraction, Seed, Temperature
from mm_lightning.evaluation.comparison import Comparison, compare
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.evaluation.text_table import aligned
from mm_lightning.files import check_writable, write_atomically
from mm_lightning.networks.base import LabelView, Network
from mm_lightning.sampling import Sampler, SamplingOptions, Selection
from mm_lightning.training import checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer

_NUM_NEIGHBOURS = 8  # new items shown beside their nearest training items
_SETTINGS = ("num_samples", "temperature", "top_k", "top_p", "seed")  # in the JSON file


def _check(datamodule: ItemsDataModule, ckpt_path: str, output: Path | None) -> None:
    """Load the data and check that the checkpoint was trained on them, and that the output can be written.

    Raises:
        UserError: If the data are missing, unfit or not the checkpoint's, or the output has another suffix or
            cannot be written.
    """
    if output is not None:
        check_writable(output, "--output", ".json")
    try:
        datamodule.setup("test")
    except UserError as error:
        raise UserError(f"quality needs the training items (--data.path): {error}") from None
    if checkpoint.digest(Path(ckpt_path)) != datamodule.digest:
        raise UserError(
            f"{datamodule.path} (split {datamodule.split}) is not what {ckpt_path} was trained on, so what is new "
            "cannot be told; give its own data with --data.path and --data.split, or leave these out"
        )


def sample_items(model: LanguageModel, datamodule: ItemsDataModule, options: SamplingOptions) -> tuple[Items, float]:
    """Sample items no longer than the longest training item; of a model with labels, the shares are as in training.

    Returns:
        The items, and the share of samples that ended within that length.

    Raises:
        UserError: If the allowed number of batches yields too few items.
    """
    options = replace(options, max_length=int(datamodule.train_lengths.max()))
    if not model.labels:
        items, valid = _sample(model.network, model, datamodule, options)
        return Items.from_strings(items), valid
    shares = np.array(list(model.labels.values())) / sum(model.labels.values())
    counts = np.diff(np.round(np.cumsum([0, *shares]) * options.num_samples).astype(int))
    items, valid = [], 0.0
    for number, (count, share) in enumerate(zip(counts.tolist(), shares.tolist(), strict=True)):
        if count:
            view = LabelView(model.network, len(model.vocabulary), number)
            seed = int(np.random.SeedSequence([options.seed, number]).generate_state(1)[0])
            own, own_valid = _sample(view, model, datamodule, replace(options, num_samples=count, seed=seed))
            items, valid = items + own, valid + share * own_valid
    order = np.random.default_rng(options.seed).permutation(len(items))  # the first thousand have all labels
    return Items.from_strings([items[i] for i in order]), valid


def _sample(
    network: Network, model: LanguageModel, datamodule: ItemsDataModule, options: SamplingOptions
) -> tuple[list[str], float]:
    """Sample items of a network without labels; return and raise as `sample_items`."""
    sampler, selection = Sampler(network, model.vocabulary, options), Selection(options, datamodule.is_new)
    ended: list[str] = []
    num_begun = 0
    for number in selection.batches():
        batch = sampler.sample_batch(number)
        selection.accept(batch)
        ended += batch
        num_begun += sampler.num_rows
    if shortfall := selection.shortfall():
        raise UserError(f"{shortfall} (only items that end within {options.max_length} tokens count)")
    return ended[: options.num_samples], len(ended) / num_begun


def _format(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    if column in ("words", "edits_of"):
        return f"{value:,}"
    if column in ("lengths", "first", "last", "bigrams"):
        return f"{value:.3f}"
    return f"{value:.2f}" if column == "edits" else f"{value:.1%}"


def as_text(comparison: Comparison) -> str:
    """Format the measures as a table, and below it new items beside their nearest training items."""
    columns = next(iter(comparison.rows.values()))
    rows = [[name, *(_format(*cell) for cell in row.items())] for name, row in comparison.rows.items()]
    lines = aligned([["", *columns], *rows], num_left=1)
    if comparison.neighbours:
        neighbours = [[item, nearest, str(edits)] for item, nearest, edits in comparison.neighbours]
        lines += ["", *aligned([["new word", "nearest in training", "edits"], *neighbours], num_left=2)]
    return "\n".join(lines)


def _as_json(comparison: Comparison, settings: dict[str, Any]) -> str:
    rows = [{"of": name, **row} for name, row in comparison.rows.items()]
    neighbours = [{"word": item, "nearest": nearest, "edits": edits} for item, nearest, edits in comparison.neighbours]
    return json.dumps({**settings, "rows": rows, "nearest": neighbours}, ensure_ascii=False, indent=1) + "\n"


def run(
    trainer: Trainer,
    model: LanguageModel,
    datamodule: ItemsDataModule,
    ckpt_path: str,
    num_samples: Count = 10_000,
    seed: Seed = 42,
    temperature: Temperature = 1.0,
    top_k: Count | None = None,
    top_p: PositiveFraction = 1.0,
    output: Path | None = None,
) -> None:
    """Sample items and print how good they are, beside the items of the dev split measured as if they were samples.

    Args:
        trainer: The Trainer.
        model: The model.
        datamodule: All splits of the data that the checkpoint was trained on.
        ckpt_path: Checkpoint to sample from: a file, or last or best for that of the newest run.
        num_samples: Number of items to sample; longer ones than the longest training item do not count.
        seed: Seed of sampling: the same seed gives the same items.
        temperature: Divides the logits; 0 takes the most likely token each time.
        top_k: Sample from the k most likely tokens only; null for all.
        top_p: Sample from the most likely tokens that together reach this probability.
        output: File for the same figures as JSON; its name ends in .json.

    Raises:
        UserError: If the data are missing, or not enough items end in time.
    """
    trainer.require_one_device()
    options = SamplingOptions(num_samples=num_samples, temperature=temperature, top_k=top_k, top_p=top_p, seed=seed)
    _check(datamodule, ckpt_path, output)
    checkpoint.load_model(model, Path(ckpt_path), trainer.strategy.root_device)
    with trainer.strategy.precision_plugin.forward_context():
        samples, valid = sample_items(model, datamodule, options)
    comparison = compare(TrainingReference.of(datamodule), datamodule.splits, samples, valid, _NUM_NEIGHBOURS)
    print(as_text(comparison))
    if datamodule.loss_note:
        print(f"lengths, first, last and bigrams: items of the data {datamodule.loss_note}")
    if output is not None:
        origin = {"ckpt_path": ckpt_path, "data": datamodule.path, "split": datamodule.split}
        settings = {name: getattr(options, name) for name in _SETTINGS}
        with write_atomically(output, "--output") as file:
            file.write(_as_json(comparison, {**origin, **settings}).encode())
