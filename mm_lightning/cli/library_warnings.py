"""Which warnings of the libraries below users are spared."""

import logging
import warnings


def silence_library_warnings() -> None:
    """Keep from users what only a developer of Lightning could act on, and what this application does on purpose."""
    for message in (
        r".*isinstance\(treespec, LeafSpec\)",  # lightning 2.6 with torch 2.15
        ".*callbacks used to create the checkpoint need to be provided",  # sampling needs none of them
        "Checkpoint directory .* exists and is not empty",  # a resumed run goes on in its own
        "The number of training batches .* is smaller than the logging interval",  # curves go by steps, not by epochs
        ".*could not find the monitored key",  # an epoch without validation is not the best
        "The dirpath has changed",  # going on from an earlier checkpoint, in a run folder of its own
        "Couldn't infer the batch indices",  # there are none: words come from nothing
        ".*all_gather is deprecated",  # lightning 2.6 with torch 2.15
        "`LightningModule.configure_optimizers` returned `None`",  # a network that counts has none
        "It is recommended to use `self.log",  # what is logged has been reduced over the ranks
        "You defined a `validation_step` but have no `val_dataloader`",  # a range test does not validate
        ".*AMP with fp16 is not supported on CPU",  # Trainer refuses it
    ):
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("lightning.pytorch.trainer.connectors.checkpoint_connector").setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA is no news
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda record: "Tip:" not in str(record.msg))
