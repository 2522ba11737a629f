"""Library warnings that are useless to users, and the log of notes to users."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from lightning_utilities.core import rank_zero


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in str(record.msg)


def silence_library_warnings() -> None:
    """Silence warnings that only a developer of Lightning can act on, and warnings about intended behaviour."""
    for message in (
        "You're using the WeightAveraging callback, but loading",  # the file's weights are the average
        r".*isinstance\(treespec, LeafSpec\)",  # lightning 2.6 with torch 2.15
        ".*callbacks used to create the checkpoint need to be provided",  # sampling needs none of them
        "Checkpoint directory .* exists and is not empty",  # a resumed run writes into its own folder
        "The number of training batches .* is smaller than the logging interval",  # curves count steps, not epochs
        ".*could not find the monitored key",  # an epoch without validation is not the best
        "The dirpath has changed",  # a run from an earlier checkpoint has a folder of its own
        "Couldn't infer the batch indices",  # samples have no indices
        ".*all_gather is deprecated",  # lightning 2.6 with torch 2.15
        "`LightningModule.configure_optimizers` returned `None`",  # a counted network has no optimiser
        "It is recommended to use `self.log",  # logged values are already reduced over the ranks
        "Total length of `list` across ranks is zero",  # data.split all holds nothing out
        "You defined a `validation_step` but have no `val_dataloader`",  # a range test does not validate
        ".*AMP with fp16 is not supported on CPU",  # our Trainer refuses the setting
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # a missing CUDA is no news
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_tip)  # once, though called often


def log_to_stderr() -> None:
    """Let `rank_zero_info` write to stderr without Lightning, whose import arranges the same."""
    rank_zero.rank_zero_only.rank = getattr(rank_zero.rank_zero_only, "rank", 0)  # type: ignore[attr-defined]
    if not rank_zero.log.hasHandlers():
        rank_zero.log.addHandler(logging.StreamHandler(sys.stderr))
        rank_zero.log.setLevel(logging.INFO)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the log of the libraries, which tells of devices and limits."""
    silence_library_warnings()
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
