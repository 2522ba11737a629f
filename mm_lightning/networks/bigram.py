"""The bigram model as a neural network of one layer, as the first lecture has it.

A one-hot row times a matrix W picks a row of W, which is what an embedding does. Trained to the end, its softmax is
the table of counts; weight decay of the optimiser pulls it towards uniform, as adding to the counts does.
"""

from torch import Tensor, nn

from mm_lightning.networks.base import SequenceNetwork, State


class Bigram(SequenceNetwork):
    """Predict the next character from the last one, by one matrix.

    Args:
        vocab_size: Number of ids V; the application fills it in from the data.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.weight = nn.Embedding(vocab_size, vocab_size)

    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        """As the base says; nothing needs to be kept."""
        return self.weight(ids), ()

    @property
    def context(self) -> int:
        """As the base says."""
        return 1
