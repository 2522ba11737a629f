"""Settings of blocks, and the check for Trainer settings that blocks exclude."""

from dataclasses import dataclass

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.model_helpers import is_overridden

from mm_lightning import UserError
from mm_lightning.training.optimization import GradientClipping

_HOOKS_WITHIN_A_STEP = (
    "on_before_zero_grad",
    "on_before_backward",
    "on_after_backward",
    "on_before_optimizer_step",
)


@dataclass(frozen=True)
class BlockSettings:
    """Settings of blocks: size, compilation and gradient clipping.

    Args:
        max_steps: Largest number of steps in a block, K; 1 for single steps.
        compile: Whether the steps are compiled; None to decide when the first block comes.
        clipping: Gradient clipping, which Lightning refuses under manual optimisation.
    """

    max_steps: int
    compile: bool | None
    clipping: GradientClipping

    def check(self, trainer: pl.Trainer) -> None:
        """Refuse settings that exclude each other.

        Raises:
            UserError: Names both settings.
        """
        steps = self.max_steps
        if steps == 1 and self.compile:
            raise UserError("trainer.compile is true, but trainer.steps_per_execution is 1; raise it, say to 100")
        if steps == 1:
            return
        _check_callbacks(trainer.callbacks, steps)  # type: ignore[attr-defined] # set by a connector
        if (value := trainer.accumulate_grad_batches) != 1:
            raise UserError(
                f"trainer.accumulate_grad_batches is {value} and trainer.steps_per_execution is {steps}; "
                "one of them must be 1"
            )


def _check_callbacks(callbacks: list[Callback], steps: int) -> None:
    """Refuse callbacks with hooks that are called within a step."""
    for callback in callbacks:
        for hook in _HOOKS_WITHIN_A_STEP:
            if is_overridden(hook, callback, Callback):
                raise UserError(
                    f"trainer.callbacks has {type(callback).__name__}, whose {hook} comes with every single step, and "
                    f"trainer.steps_per_execution is {steps}; set --trainer.steps_per_execution 1"
                )
