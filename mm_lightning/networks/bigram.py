"""The bigram model as a neural network of one layer, as in the first lecture.

A one-hot row times a matrix W selects a row of W, which is an embedding lookup. At the optimum, the softmax of W equals
the table of counts. Weight decay pulls the softmax towards uniform, as adding a constant to the counts does.
"""

from torch import Tensor, nn
from typing_extensions import override

from mm_lightning.networks.base import SequenceNetwork, State


class Bigram(SequenceNetwork):
    """Predict the next token from the last one, by one matrix.

    Args:
        vocab_size: Number of ids V, set from the data.
        num_labels: Number of labels L, set from the data.

    Shape: x (B, T) int64 in [0, V) -> (B, T, V) logits.
    """

    def __init__(self, vocab_size: int, num_labels: int = 0) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.weight = nn.Embedding(vocab_size * max(1, num_labels), vocab_size)  # a matrix per label

    @override
    def read(self, ids: Tensor, state: State) -> tuple[Tensor, State]:
        return self.weight(ids), ()

    @property
    @override
    def context(self) -> int:
        return 1
