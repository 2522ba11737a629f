"""Steps of a ReduceLROnPlateau at the end of each epoch, the same in a resumed run as in an uninterrupted one.

Lightning leaves out the step at the end of the first epoch after a resume, since its checkpoints hold no metrics. And
it takes the metric of the very last validation, which can be one that comes only because a run ends. So this callback
takes the steps instead.
"""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.cli import ReduceLROnPlateau
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.training.block_steps.lightning_counters import is_validation_at_interval
from mm_lightning.training.checkpoint.keys import PLATEAU


class PlateauSteps(Callback):
    """Callback that steps a ReduceLROnPlateau with its metric of the last validation at the interval."""

    def __init__(self) -> None:
        self._metrics: dict[str, float] = {}  # the monitored one by its name; a run may resume with another

    @property
    @override
    def state_key(self) -> str:
        return PLATEAU

    @override
    def state_dict(self) -> dict[str, Any]:
        return dict(self._metrics)

    @override
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._metrics = dict(state_dict)

    @override
    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        schedule = _plateau(trainer)
        if schedule is None or trainer.sanity_checking or not is_validation_at_interval(trainer):
            return
        if schedule.monitor in trainer.callback_metrics:
            self._metrics = {schedule.monitor: float(trainer.callback_metrics[schedule.monitor])}

    @override
    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step the schedule, unless the run stops within the epoch.

        Raises:
            UserError: If no validation so far has measured the metric.
        """
        schedule = _plateau(trainer)
        if schedule is None or not trainer.is_last_batch:
            return
        if schedule.monitor in self._metrics:
            schedule.step(self._metrics[schedule.monitor])
        elif schedule.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            intervals = "trainer.val_check_interval and trainer.check_val_every_n_epoch"
            remedy = f"give one of {known}" if known else f"leave {intervals} out, to validate each epoch"
            raise UserError(
                f"model.lr_scheduler.monitor is {schedule.monitor}, which was not measured by the end of epoch "
                f"{trainer.current_epoch + 1}; {remedy}"
            )


def _plateau(trainer: pl.Trainer) -> ReduceLROnPlateau | None:
    """The schedule of a fit, if it is one that looks at a metric."""
    schedules = [config.scheduler for config in trainer.lr_scheduler_configs]
    return next((schedule for schedule in schedules if isinstance(schedule, ReduceLROnPlateau)), None)
