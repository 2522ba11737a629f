"""Temperature, top_k and top_p against their definitions."""

import itertools

import pytest
import torch
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.probabilities import probabilities


def random_logits(num_rows: int = 50, vocab_size: int = 9) -> Tensor:
    return 3 * torch.randn(num_rows, vocab_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(("top_k", "top_p"), [(None, 1.0), (1, 1.0), (3, 0.5), (None, 0.01), (100, 0.999)])
def test_temperature_0_is_argmax_for_any_top_k_and_top_p(top_k: int | None, top_p: float):
    """Catches a greedy choice that top_k or top_p changes, and a division by zero."""
    logits = random_logits()
    result = probabilities(logits, SamplingOptions(temperature=0, top_k=top_k, top_p=top_p))
    assert torch.equal(result, torch.nn.functional.one_hot(logits.argmax(1), 9).double())


@pytest.mark.parametrize("temperature", [1e-2, 1e-12, 1e-308])
def test_low_temperatures_approach_argmax(temperature: float):
    """Catches an overflow at low temperatures, which gives NaN and so empty items."""
    logits = random_logits() + 10 * torch.nn.functional.one_hot(random_logits().argmax(1), 9)
    expected = probabilities(logits, SamplingOptions(temperature=0))
    torch.testing.assert_close(probabilities(logits, SamplingOptions(temperature=temperature)), expected)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_temperature_divides_the_logits(temperature: float):
    """Catches a temperature that multiplies the logits, or divides probabilities."""
    logits = random_logits()
    logs = probabilities(logits, SamplingOptions(temperature=temperature)).log()
    torch.testing.assert_close((logs - logs[:, :1]) * temperature, logits - logits[:, :1])


@pytest.mark.parametrize("top_k", [1, 2, 8, 9, 10, 1000])
def test_top_k_keeps_the_k_most_likely(top_k: int):
    """Catches one id too many or too few, the least likely ids, and changed proportions."""
    logits = random_logits()
    result, full = probabilities(logits, SamplingOptions(top_k=top_k)), logits.softmax(1)
    expected = torch.zeros_like(full)
    for row in range(len(logits)):
        kept = sorted(range(9), key=lambda i, row=row: -float(logits[row, i]))[:top_k]
        expected[row, kept] = full[row, kept]
    torch.testing.assert_close(result / result.sum(1, keepdim=True), expected / expected.sum(1, keepdim=True))


def test_top_k_keeps_exactly_k_of_equal_logits():
    """Catches more than k ids at a tie, common in half precision: top_k 1 would not be greedy."""
    logits = torch.tensor([[1.0, 2.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0]], dtype=torch.float64)
    for top_k in (1, 2):
        kept = probabilities(logits, SamplingOptions(top_k=top_k)) > 0
        assert kept.sum(1).tolist() == [top_k, top_k]


@pytest.mark.parametrize("top_p", [0.001, 0.3, 0.9, 0.99999])
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p: float):
    """Catches a set without the id that crosses p (empty for a small p), and one id too many."""
    logits = random_logits()
    result, full = probabilities(logits, SamplingOptions(top_p=top_p)), logits.softmax(1)
    for row in range(len(logits)):
        order = sorted(range(9), key=lambda i, row=row: -float(full[row, i]))
        sums = list(itertools.accumulate(float(full[row, i]) for i in order))
        kept = order[: 1 + next(n for n, total in enumerate(sums) if total >= top_p)]
        assert set(result[row].nonzero().flatten().tolist()) == set(kept)
        ratios = result[row, kept] / full[row, kept]
        torch.testing.assert_close(ratios, ratios[:1].expand_as(ratios))


def test_top_p_1_keeps_all():
    """Catches a rounded sum that drops the least likely ids by default."""
    torch.testing.assert_close(probabilities(random_logits(), SamplingOptions()), random_logits().softmax(1))


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_nan_logits_are_an_error(temperature: float):
    """Catches items sampled from a network that diverged."""
    logits = random_logits()
    logits[3, 4] = torch.nan
    with pytest.raises(UserError, match="logits are no numbers"):
        probabilities(logits, SamplingOptions(temperature=temperature))
