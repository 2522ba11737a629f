"""Averaging callbacks of tests, named in configurations as users name their own."""

from typing import ClassVar

from lightning.pytorch.callbacks import Callback, WeightAveraging


class LateAverage(WeightAveraging):
    """The mean of the weights after each step from number `first` on."""

    def __init__(self, first: int = 20) -> None:
        super().__init__()
        self.first = first

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx is not None and step_idx + 1 >= self.first


class EpochAverage(WeightAveraging):
    """The mean of the weights after each epoch."""

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return epoch_idx is not None


class FirstWeights(WeightAveraging):
    """The weights after the first step, for ever."""

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return step_idx == 0


class WeightRecorder(Callback):
    """The weights after each step."""

    seen: ClassVar[list[dict]] = []

    def on_train_start(self, *_) -> None:
        self.seen.clear()

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        self.seen.append({name: value.clone() for name, value in pl_module.state_dict().items()})
