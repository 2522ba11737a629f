"""Measures of a trained model for its card: losses of the splits, and quality of samples."""

from collections.abc import Collection

import torch

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.encoding import tagged
from mm_lightning.data.items import Items
from mm_lightning.evaluation.comparison import Comparison, compare
from mm_lightning.evaluation.loss import score
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.evaluation.split_loss import SplitLoss
from mm_lightning.export.facts import Loss
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.valid_items import sample_valid
from mm_lightning.training.module import LanguageModel

_MAX_ITEMS = 100_000  # of a split: a minute of a Transformer
_NUM_SAMPLES = 10_000
_SPLITS = ("train", "dev", "test")


def split_losses(
    model: LanguageModel, datamodule: ItemsDataModule, wanted: Collection[str] = _SPLITS
) -> dict[str, Loss]:
    """Compute the loss of each wanted split that has items: of its first items where it has too many."""
    splits = {name: items[:_MAX_ITEMS] for name, items in zip(_SPLITS, datamodule.splits.all, strict=True)}
    return {name: _loss(model, datamodule, items) for name, items in splits.items() if name in wanted and len(items)}


def _loss(model: LanguageModel, datamodule: ItemsDataModule, items: Items) -> Loss:
    nll = score(model.network, model.vocabulary, items)
    num_targets = torch.from_numpy(model.vocabulary.encode(items)[1]) + 1
    loss = SplitLoss(list(model.labels))
    loss.update(nll, num_targets, tagged(items, datamodule.is_in_training(items)))
    measures = {name: float(value) for name, value in loss.take().items()}
    return Loss(measures["loss"], measures.get("loss_unseen"), len(items))


def sample_quality(model: LanguageModel, datamodule: ItemsDataModule, num_samples: int = _NUM_SAMPLES) -> Comparison:
    """Measure samples as the command `quality` does by default, beside the items of the dev split."""
    options = SamplingOptions(num_samples, max_length=int(datamodule.examples.lengths.max()))
    samples, valid = sample_valid(model.network, model.vocabulary, model.labels, options)
    return compare(TrainingReference.of(datamodule), datamodule.splits, samples, valid, num_neighbours=0)
