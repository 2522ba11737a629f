"""The neural bigram, against counting."""

import random

import pytest
import torch

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import Bigram, NGram

STRINGS = ["".join(random.Random(i).choices("aaabbc", k=1 + i % 7)) for i in range(60)]


def examples() -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of ids: x (N, 1) and y (N,)."""
    windows = Windows(encode(Items.from_strings(STRINGS), Vocabulary("abc")), 1)
    return windows.gather(torch.arange(len(windows)))


def counted(smoothing: float) -> NGram:
    network = NGram(4, 1, smoothing)
    network.count(*examples())
    return network.eval()


def test_training_converges_to_the_counts():
    """Catches one matrix and a softmax that do not reach the table of counts, their optimum."""
    x, y = examples()
    torch.manual_seed(0)
    neural = Bigram(4)
    optimizer = torch.optim.LBFGS(neural.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(neural(x), y[:, None])
        loss.backward()
        return loss

    optimizer.step(closure)
    probabilities = neural(x).softmax(-1)[:, 0].detach()
    torch.testing.assert_close(probabilities, counted(0)(x).exp().float(), atol=1e-3, rtol=0)


def test_weight_decay_smooths_as_adding_to_counts_does():
    """Catches weight decay without effect on the matrix: the rows would stay as peaked as the counts."""
    x, y = examples()
    rows = torch.arange(4)[:, None]
    peaks = []
    for decay in (0.0, 0.01, 0.1, 10.0):
        torch.manual_seed(0)
        neural = Bigram(4)
        optimizer = torch.optim.SGD(neural.parameters(), lr=0.1 if decay > 1 else 5, weight_decay=decay)
        for _ in range(300):
            optimizer.zero_grad()
            cross_entropy(neural(x), y[:, None]).backward()
            optimizer.step()
        peaks.append(float(neural(rows).detach().softmax(-1).amax(-1).mean()))
    assert peaks == sorted(peaks, reverse=True)
    of_counts = [float(counted(smoothing)(rows).exp().amax(1).mean()) for smoothing in (0, 1e6)]
    assert peaks[0] == pytest.approx(of_counts[0], abs=0.01)
    assert peaks[-1] == pytest.approx(of_counts[1], abs=0.01)
