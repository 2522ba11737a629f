"""Pitman-Yor smoothing: leave-one-out against leaving one out, and its place among other ways of counting."""

import random

import pytest
import torch

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.networks import KneserNey, NGram, PitmanYor
from mm_lightning.networks.counted.counted_network import CountedNetwork
from mm_lightning.networks.counted.kneser_ney import OrderCounts, Smoothing

ABC = Vocabulary("abc")
LETTERS = Vocabulary("abcdefghijklmnopqrst")
STRINGS = ["".join(random.Random(i).choices("aaabbc", k=1 + i % 7)) for i in range(12)]


def fitted(network: CountedNetwork, strings: list[str], vocabulary: Vocabulary = ABC) -> CountedNetwork:
    windows = Windows(encode(Items.from_strings(strings), vocabulary), network.block_size)
    network.count(*windows.gather(torch.arange(len(windows))))
    return network.eval()  # type: ignore[return-value]


class _Fixed(PitmanYor):
    """Pitman-Yor smoothing with given numbers."""

    def _fit(self, orders: list[OrderCounts]) -> tuple[torch.Tensor, torch.Tensor]:
        n = torch.arange(1, len(orders) + 1).double()
        return torch.stack([0.9 / n, 1.5 / n, 2.5 / n], 1), 1 / n


@torch.no_grad()
@pytest.mark.parametrize("block_size", [1, 2, 4])
@pytest.mark.parametrize("strings", [STRINGS, ["ab", "aba", "b"], ["abc", "ab", "aa"]], ids=["many", "no c", "one c"])
def test_leave_one_out_is_leaving_one_out(block_size: int, strings: list[str]):
    """Catches counts, sums and kinds that still hold the n-gram that is left out, or lose what stays."""
    network = fitted(_Fixed(4, block_size), strings)
    orders = network.order_counts(network.grams, network.counts)
    smoothings: list[Smoothing] = network.smoothings(orders)
    grams, counts = network.grams.clone(), network.counts.clone()
    p = network.leave_one_out_probabilities(
        [network.leave_one_out(n, grams, orders) for n in range(len(orders))],
        smoothings,
        num_unseen=4 - len(set("".join(strings))) - 1,
    )
    for i, gram in enumerate(grams.tolist()):
        is_left = torch.ones(len(grams), dtype=torch.bool)
        rest = counts.clone()
        rest[i] -= 1
        is_left[i] = rest[i] > 0
        other = _Fixed(4, block_size)
        other.grams, other.counts = grams[is_left], rest[is_left]
        ids = [gram // 4**n % 4 for n in range(block_size, -1, -1)]
        assert float(p[i]) == pytest.approx(float(other(torch.tensor([ids[:-1]]))[0, ids[-1]].exp()))


def words(seed: int) -> list[str]:
    """40 words of one to three syllables, some syllables more frequent than others."""
    generator = random.Random(seed)
    letters = LETTERS.alphabet
    syllables = ["".join(generator.choices(letters, k=generator.choice([2, 3]))) for _ in range(25)]
    return ["".join(generator.choices(syllables, range(25, 0, -1), k=generator.choice([1, 2, 3]))) for _ in range(40)]


@torch.no_grad()
def test_held_out_loss_of_short_lists_is_below_that_of_other_counts():
    """Catches a fit that goes uphill, and discounts of an order given to another."""
    networks = {
        "py": lambda: PitmanYor(21, 4),
        "kn": lambda: KneserNey(21, 4),
        **{f"add-{k}, context {n}": lambda n=n, k=k: NGram(21, n, k) for n in (1, 2, 3) for k in (0.1, 0.3, 1)},
    }
    loss = dict.fromkeys(networks, 0.0)
    for seed in range(3):
        train, held_out = words(seed)[:30], Items.from_strings(words(seed)[30:])
        for name, network in networks.items():
            loss[name] += float(score(fitted(network(), train, LETTERS), LETTERS, held_out).sum())
    assert min(loss, key=loss.__getitem__) == "py"


@torch.no_grad()
@pytest.mark.parametrize("strings", [["a"], ["abc"], ["a"] * 50, STRINGS * 1000])
def test_any_list_has_finite_probabilities_that_sum_to_one(strings: list[str]):
    """Catches a fit that runs to infinity where the counts say nothing."""
    network = fitted(PitmanYor(4, 3), strings)
    p = network(torch.tensor([[0, 0, 0], [0, 0, 1], [3, 2, 1], [1, 1, 1]])).exp()
    assert p.sum(1).tolist() == pytest.approx([1] * 4)
    assert (p > 0).all()
    assert network.discounts.isfinite().all()


@torch.no_grad()
def test_fitted_numbers_are_saved_and_loaded():
    """Catches a network saved before its fit, and one that is fitted again, to other bits, after loading."""
    x = torch.tensor([[1, 2]])
    saved = fitted(PitmanYor(4, 2), STRINGS)
    state = saved.state_dict()
    assert len(state["strengths"]) == 3
    other = fitted(PitmanYor(4, 2), ["abc"])
    other(x)
    other.load_state_dict(state)
    assert torch.equal(other.strengths, state["strengths"])
    assert torch.equal(other(x), saved(x))
    assert not torch.equal(fitted(other, ["ccc"])(x), saved(x))
