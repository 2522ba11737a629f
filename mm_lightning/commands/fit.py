"""The fit command: checks before training, training, and the next commands after training."""

import os

from lightning_utilities.core.rank_zero import rank_zero_only

from mm_lightning import UserError
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.training.callbacks import BestCheckpoint
from mm_lightning.training.checkpoint import Checkpoint
from mm_lightning.training.module import LanguageModel
from mm_lightning.training.trainer import Trainer


def prepare(
    trainer: Trainer, model: LanguageModel, datamodule: ItemsDataModule, resumed: Checkpoint | None = None
) -> None:
    """Read the data, check that they suit model and Trainer, and set the number of threads. Writes nothing.

    Raises:
        UserError: If the data or the settings cannot be used.
    """
    datamodule.setup("fit")
    if model.is_counted:
        trainer.check_one_pass(datamodule, resumed)
    trainer.choose_threads(model, datamodule.targets_per_step)


def claim_run(trainer: Trainer, resumed: Checkpoint | None) -> None:
    """Claim a run folder, after everything that can be wrong has been checked.

    Raises:
        UserError: If there is nothing left to train, or the folder cannot be used.
    """
    limit = trainer.max_steps
    if resumed is not None and 0 <= limit <= resumed.step:
        raise UserError(
            f"{resumed.path} has done its {resumed.step} steps of {limit}; raise --trainer.max_steps to go on"
        )
    trainer.claim_run(resumed)


def train(
    trainer: Trainer, model: LanguageModel, datamodule: ItemsDataModule, ckpt_path: str | None, resumed: bool
) -> None:
    """Train; remove the folder of a new run that failed before its first step."""
    try:
        trainer.fit(model, datamodule=datamodule, ckpt_path=ckpt_path, weights_only=True)
    except BaseException:
        if not resumed and trainer.global_step == 0:
            trainer.discard_run()
        raise
    finally:
        trainer.release_run()


@rank_zero_only
def print_next_commands(trainer: Trainer) -> None:
    """Print where the best checkpoint is and the command that samples from it."""
    best = trainer.checkpoint_callback
    if isinstance(best, BestCheckpoint) and best.best_model_score is not None:
        path = os.path.relpath(best.best_model_path)
        print(f"best checkpoint: {path} (val/loss {float(best.best_model_score):.4f})")
        print(f"sample from it:  python -m mm_lightning predict --ckpt_path {path}")
