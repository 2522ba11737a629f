"""`quality`: measures of generated items, beside the measures of the dev split."""

import json
from pathlib import Path
from typing import Any

from mm_lightning.commands.parts.own_data import require_own_data
from mm_lightning.commands.parts.samples import item_bar
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.ranges import Count, PositiveFraction, Seed, Temperature
from mm_lightning.evaluation.comparison import Comparison, as_text, compare
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.files import check_writable, write_atomically
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.valid_items import sample_valid
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer

_NUM_NEIGHBOURS = 8  # new items shown beside their nearest training items
_SETTINGS = ("num_samples", "temperature", "top_k", "top_p", "seed")  # in the JSON file


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
        UserError: If the data are missing or not the checkpoint's, not enough items end in time, or the output has
            another suffix or cannot be written.
    """
    if output is not None and trainer.is_global_zero:
        check_writable(output, "--output", ".json")
    require_own_data(datamodule, ckpt_path, "quality")
    max_length = int(datamodule.examples.lengths.max())
    options = SamplingOptions(num_samples, temperature, top_k, top_p, seed=seed, max_length=max_length)
    trainer.load_weights(model, Path(ckpt_path))

    def sample() -> tuple[Items, float]:
        with item_bar(num_samples, is_shown=trainer.is_global_zero) as bar:
            return sample_valid(model.network, model.vocabulary, model.labels, options, trainer.share, bar.update)

    samples, valid = trainer.in_every_process(sample)
    if not trainer.is_global_zero:
        return
    comparison = compare(TrainingReference.of(datamodule), datamodule.splits, samples, valid, _NUM_NEIGHBOURS)
    print(as_text(comparison))
    if datamodule.loss_note:
        print(f"lengths, first, last and bigrams: items of the data {datamodule.loss_note}")
    if output is not None:
        origin = {"ckpt_path": ckpt_path, "data": datamodule.path, "split": datamodule.split}
        settings = {name: getattr(options, name) for name in _SETTINGS}
        with write_atomically(output, "--output") as file:
            file.write(_as_json(comparison, {**origin, **settings}).encode())
