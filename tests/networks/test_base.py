"""The base classes of networks."""

import torch

from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks import MLP


@torch.no_grad()
def test_windows_are_distinguished_however_many_there_are():
    """Catches windows numbered in 64 bits: with 1,024 ids and a context of 12, the first five ids would not count."""
    torch.manual_seed(0)
    network = MLP(1024, block_size=12, embed_dim=4, hidden_dim=16).double().eval()
    x = torch.randint(1, 1024, (30, 20))
    x[:, 0], x[0, 1] = BOUNDARY, 1023
    x[1:, 13:] = x[0, 13:]
    logits = network.sequence_logits(x)
    for row, last in ((0, 0), (3, 12), (7, 19), (29, 19)):
        window = torch.nn.functional.pad(x[row, : last + 1], (12, 0))[-12:]
        torch.testing.assert_close(logits[row, last], network(window[None])[0])
