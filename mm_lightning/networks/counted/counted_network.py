"""The base of networks that are fitted by counting."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Self

from torch import Tensor
from typing_extensions import override

from mm_lightning.networks.base import WindowNetwork, float64_at


class CountedNetwork(WindowNetwork):
    """A window network that is fitted by counting every example once, without gradients.

    Its counts stay on the CPU: looking them up takes no arithmetic, and the probabilities are float64.
    """

    learning = "counting"

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return self  # `to` moves and converts nothing

    @override
    def forward(self, x: Tensor) -> Tensor:
        return float64_at(x.device, self.log_probabilities(x.cpu()))

    @abstractmethod
    def log_probabilities(self, x: Tensor) -> Tensor:
        """Compute the logits (N, V) float64 after windows x (N, C), on the CPU."""

    @abstractmethod
    def count(self, x: Tensor, y: Tensor, weights: Tensor | None = None) -> None:
        """Add the examples, windows x (N, C) and targets y (N,), to the counts.

        Args:
            x: Windows.
            y: Targets.
            weights: (N,) int64, how many times each example counts; None for once each.
        """
