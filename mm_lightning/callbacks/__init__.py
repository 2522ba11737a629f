"""What happens around training, a file each."""

from mm_lightning.callbacks.charts import Charts
from mm_lightning.callbacks.checkpoints import BestCheckpoint, LastCheckpoint, Stopped
from mm_lightning.callbacks.embeddings import Embeddings
from mm_lightning.callbacks.histograms import Histograms
from mm_lightning.callbacks.hparams import HyperParameters
from mm_lightning.callbacks.progress import StepProgressBar
from mm_lightning.callbacks.random_state import RandomState
from mm_lightning.callbacks.run_config import RunConfig
from mm_lightning.callbacks.sample_writer import SampleWriter
from mm_lightning.callbacks.samples import SampleWords

__all__ = [
    "BestCheckpoint",
    "Charts",
    "Embeddings",
    "Histograms",
    "HyperParameters",
    "LastCheckpoint",
    "RandomState",
    "RunConfig",
    "SampleWords",
    "SampleWriter",
    "StepProgressBar",
    "Stopped",
]
