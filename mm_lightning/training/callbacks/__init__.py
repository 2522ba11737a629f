"""Callbacks of a fit: checkpoints, random state, configuration, progress, samples, TensorBoard."""

from mm_lightning.training.callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from mm_lightning.training.callbacks.milestones import ValidationMilestones
from mm_lightning.training.callbacks.progress import StepProgressBar
from mm_lightning.training.callbacks.random_state import RandomState
from mm_lightning.training.callbacks.run_config import RunConfig
from mm_lightning.training.callbacks.samples import SampleItems
from mm_lightning.training.callbacks.tensorboard.charts import Charts
from mm_lightning.training.callbacks.tensorboard.embeddings import Embeddings
from mm_lightning.training.callbacks.tensorboard.histograms import Histograms
from mm_lightning.training.callbacks.tensorboard.hparams import HyperParameters

__all__ = [
    "BestCheckpoint",
    "Charts",
    "Embeddings",
    "Histograms",
    "HyperParameters",
    "LastCheckpoint",
    "RandomState",
    "RunConfig",
    "SampleItems",
    "StepProgressBar",
    "ValidationMilestones",
]
