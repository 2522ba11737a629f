"""Networks that count, held against counting by hand and against what is known of makemore's file."""

import math
import random
from collections import Counter, defaultdict
from pathlib import Path

import pytest
import torch

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items, read_items
from mm_lightning.data.splits import split_items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import cross_entropy, score
from mm_lightning.networks import Bigram, KneserNey, NGram
from mm_lightning.networks.base import CountedNetwork

STRINGS = ["".join(random.Random(i).choices("aaabbc", k=1 + i % 7)) for i in range(60)]


def fitted(network: CountedNetwork, some: Items, vocabulary: Vocabulary) -> CountedNetwork:
    windows = Windows(encode(some, vocabulary), network.block_size)
    network.count(*windows.gather(torch.arange(len(windows))))
    return network.eval()  # type: ignore[return-value]


def per_character(network: CountedNetwork, some: Items, vocabulary: Vocabulary) -> float:
    return score(network, vocabulary, some).double().sum().item() / (len(some) + len(some.codes))


@pytest.mark.parametrize(
    ("block_size", "smoothing", "expected"),
    [(1, 0, 2.4540), (1, 1, 2.4546), (2, 0, 2.1857), (3, 0, 1.8842)],
)
def test_entropies_of_the_lectures_file(makemore: Path, block_size: int, smoothing: float, expected: float):
    """Pairs that are missed, counted twice, or cross from one word to the next."""
    everything = read_items(makemore)
    vocabulary = Vocabulary(everything.alphabet())
    network = fitted(NGram(len(vocabulary), block_size, smoothing), everything, vocabulary)
    assert per_character(network, everything, vocabulary) == pytest.approx(expected, abs=5e-5)


def test_counts_on_dev(makemore: Path):
    """The lecture's bigram on the lecture's split, and longer contexts that must be worth their smoothing."""
    everything = read_items(makemore)
    vocabulary = Vocabulary(everything.alphabet())
    splits = split_items(everything, "lecture", "the file")
    bigram = fitted(NGram(len(vocabulary)), splits.train, vocabulary)
    assert per_character(bigram, splits.dev, vocabulary) == pytest.approx(2.4533, abs=5e-4)
    losses = [
        per_character(fitted(KneserNey(len(vocabulary), n), splits.train, vocabulary), splits.dev, vocabulary)
        for n in range(1, 6)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 2.0


@torch.no_grad()
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_ngram_against_counting_by_hand(smoothing: float):
    """N-grams numbered so that two of them meet."""
    vocabulary = Vocabulary("abc")
    network = fitted(NGram(4, 2, smoothing), Items.of(STRINGS), vocabulary)
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word in STRINGS:
        padded = ".." + word + "."
        for i in range(2, len(padded)):
            table[padded[i - 2 : i]][padded[i]] += 1
    for context, following in table.items():
        probabilities = network(torch.tensor([[".abc".index(c) for c in context]]))[0].exp()
        for i, symbol in enumerate(".abc"):
            expected = (following[symbol] + smoothing) / (following.total() + 4 * smoothing)
            assert float(probabilities[i]) == pytest.approx(expected)


def test_without_smoothing_the_unseen_is_infinite_and_the_unknown_uniform():
    """A NaN, or a number that hides that the model holds a word impossible."""
    vocabulary = Vocabulary("abc")
    network = fitted(NGram(4, 1, 0), Items.of(["ab", "ab"]), vocabulary)
    impossible, possible = score(network, vocabulary, Items.of(["ba", "ab"])).tolist()
    assert impossible == math.inf
    assert possible == 0
    assert network(torch.tensor([[3]])).exp().tolist() == [[0.25] * 4]


def kneser_ney_by_hand(strings: list[str], block_size: int, context: str, symbol: str) -> float:
    """Interpolated modified Kneser-Ney as in Chen and Goodman 1999, with sets and loops."""
    grams = Counter()
    for word in strings:
        padded = "." * block_size + word + "+"
        grams.update(padded[i - block_size : i + 1] for i in range(block_size, len(padded)))
    p = 1 / 4
    for n in range(block_size + 1):
        longer = {gram[-n - 2 :] for gram in grams}
        counts = Counter()
        for gram, count in grams.items():
            if n == block_size or (n and gram[-n - 1] == "."):
                counts[gram[-n - 1 :]] += count
        counts.update(gram[-n - 1 :] for gram in longer if n < block_size and not (n and gram[-n - 1] == "."))
        counts = Counter({gram: c for gram, c in counts.items() if not gram[:-1].startswith("..")})
        occurring = Counter(counts.values())
        discounts = [0.0]
        for i in (1, 2, 3):
            n1, n2 = occurring[1], occurring[2]
            usable = n1 + 2 * n2 and occurring[i]
            estimate = i - (i + 1) * n1 / (n1 + 2 * n2) * occurring[i + 1] / occurring[i] if usable else i / 2
            discounts.append(min(max(estimate, 0.1), i))
        own = {s: counts[context[len(context) - n :] + s] for s in "+abc"}
        if sum(own.values()):
            taken = {s: discounts[min(c, 3)] for s, c in own.items()}
            p = (own[symbol] - taken[symbol] + sum(taken.values()) * p) / sum(own.values())
    return p


@torch.no_grad()
@pytest.mark.parametrize("block_size", [1, 2, 3])
def test_kneser_ney_against_sets_and_loops(block_size: int):
    """Continuations counted by the time and not by the kind, or discounts of another order."""
    network = fitted(KneserNey(4, block_size), Items.of(STRINGS), Vocabulary("abc"))
    for longest in ("...", "..a", ".ab", "abc", "cab", "ccc", "caa"):
        context = longest[3 - block_size :]
        probabilities = network(torch.tensor([[".abc".index(c) for c in context]]))[0].exp()
        assert float(probabilities.sum()) == pytest.approx(1)
        for i, symbol in enumerate("+abc"):
            assert float(probabilities[i]) == pytest.approx(kneser_ney_by_hand(STRINGS, block_size, context, symbol))


def test_counting_in_parts_is_counting_at_once():
    """Counts that replace those before them, or tables made of old ones."""
    vocabulary = Vocabulary("abc")
    at_once = fitted(KneserNey(4, 2), Items.of(STRINGS), vocabulary)
    parts = fitted(KneserNey(4, 2), Items.of(STRINGS[:20]), vocabulary)
    x = torch.tensor([[1, 2]])
    assert not torch.equal(parts(x), at_once(x))
    fitted(parts, Items.of(STRINGS[20:]), vocabulary)
    assert torch.equal(parts(x), at_once(x))


def test_counts_come_back_from_a_state_dict():
    """Buffers of another size, which torch would refuse, or tables that were made before."""
    vocabulary = Vocabulary("abc")
    saved = fitted(KneserNey(4, 2), Items.of(STRINGS), vocabulary)
    other = fitted(KneserNey(4, 2), Items.of(["abc"]), vocabulary)
    x = torch.tensor([[1, 2]])
    assert not torch.equal(other(x), saved(x))
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(x), saved(x))


def test_what_cannot_be_counted_is_an_error():
    """Numbers of n-grams that overflow, and two of them then share a count."""
    with pytest.raises(ValueError, match="block_size is 13; that is too long to count over 27 ids"):
        NGram(27, block_size=13)
    NGram(27, block_size=12)
    with pytest.raises(ValueError, match="smoothing is -1"):
        NGram(27, smoothing=-1)


def test_the_neural_bigram_converges_to_the_counts():
    """One matrix and a softmax that stop short of the table of counts, where both have the same optimum."""
    vocabulary = Vocabulary("abc")
    some = Items.of(STRINGS)
    windows = Windows(encode(some, vocabulary), 1)
    x, y = windows.gather(torch.arange(len(windows)))
    torch.manual_seed(0)
    neural = Bigram(4)
    optimizer = torch.optim.LBFGS(neural.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = cross_entropy(neural(x), y[:, None])
        loss.backward()
        return loss

    optimizer.step(closure)
    counts = fitted(NGram(4, 1, 0), some, vocabulary)
    torch.testing.assert_close(neural(x).softmax(-1)[:, 0].detach(), counts(x).exp().float(), atol=1e-3, rtol=0)


def test_weight_decay_smooths_as_adding_to_counts_does():
    """Decay that does not reach the matrix: the rows would stay as peaked as the counts."""
    vocabulary = Vocabulary("abc")
    windows = Windows(encode(Items.of(STRINGS), vocabulary), 1)
    x, y = windows.gather(torch.arange(len(windows)))
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
    added = [fitted(NGram(4, 1, k), Items.of(STRINGS), vocabulary)(rows).exp().amax(1).mean() for k in (0, 1e6)]
    assert peaks[0] == pytest.approx(float(added[0]), abs=0.01)
    assert peaks[-1] == pytest.approx(float(added[1]), abs=0.01)
