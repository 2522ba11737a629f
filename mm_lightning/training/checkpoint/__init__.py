"""Checkpoint files: written atomically with a checksum, and read without executing code from the file."""

from mm_lightning.training.checkpoint.content import (
    Checkpoint,
    arguments,
    command_to_resume,
    describe,
    digest,
    load,
    load_model,
    load_weights,
    put_weights,
    read,
    run_config,
    save,
)
from mm_lightning.training.checkpoint.folder import NEEDS_EXTRA, refuse_to_resume
from mm_lightning.training.checkpoint.joining import join
from mm_lightning.training.checkpoint.keys import (
    BEST_CHECKPOINT,
    CONFIG_KEY,
    DATA,
    MADE,
    RANDOM_STATE,
    RUN_CONFIG,
    TRAINED,
)
from mm_lightning.training.checkpoint.transfer import OtherNetworkError, begin_from, shapes_with_one_id_more
from mm_lightning.training.checkpoint.trust import foreign_classes

__all__ = [
    "BEST_CHECKPOINT",
    "CONFIG_KEY",
    "DATA",
    "MADE",
    "NEEDS_EXTRA",
    "RANDOM_STATE",
    "RUN_CONFIG",
    "TRAINED",
    "Checkpoint",
    "OtherNetworkError",
    "arguments",
    "begin_from",
    "command_to_resume",
    "describe",
    "digest",
    "foreign_classes",
    "join",
    "load",
    "load_model",
    "load_weights",
    "put_weights",
    "read",
    "refuse_to_resume",
    "run_config",
    "save",
    "shapes_with_one_id_more",
]
