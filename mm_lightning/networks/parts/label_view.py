"""A network with labels as one without, for one label."""

from torch import Tensor
from typing_extensions import override

from mm_lightning.networks.base import Network, State


class LabelView(Network):
    """A view of a network for one label: it reads tokens, as a network without labels.

    Args:
        network: The network, which reads labels.
        vocab_size: Number of ids V.
        label: Number of the label.
    """

    def __init__(self, network: Network, vocab_size: int, label: int) -> None:
        super().__init__()
        self.network = network
        self.offset = label * vocab_size

    @property
    def training(self) -> bool:
        """Whether the network is in training mode."""
        return self.network.training

    @training.setter
    def training(self, mode: bool) -> None:
        """Leave the mode to the network, to which `train` hands it on."""

    @override
    def forward(self, x: Tensor) -> Tensor:
        return self.network(x + self.offset)  # type: ignore[no-any-return]

    @override
    def sequence_logits(self, x: Tensor) -> Tensor:
        return self.network.sequence_logits(x + self.offset)

    @override
    def advance(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        return self.network.advance(ids + self.offset, state)

    @property
    @override
    def context(self) -> int | None:
        return self.network.context
