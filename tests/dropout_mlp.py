"""A network that draws random numbers in training, and so shows whether a resumed run draws the same ones."""

from torch import Tensor, nn

from mm_lightning.networks import MLP


class DropoutMLP(MLP):
    def __init__(self, vocab_size: int, block_size: int = 3) -> None:
        super().__init__(vocab_size, block_size, embed_dim=4, hidden_dim=16)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.dropout(self.hidden(self.embedding(x).flatten(1)).tanh()))
