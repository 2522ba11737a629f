"""N-gram models, against counting by hand and the published entropies of makemore's file."""

import math
import random
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.files.reading import read_items
from mm_lightning.data.items import Items
from mm_lightning.data.splits import split_items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.networks import KneserNey, NGram
from mm_lightning.networks.counted.counted_network import CountedNetwork
from mm_lightning.networks.counted.kneser_ney import _discounts

STRINGS = ["".join(random.Random(i).choices("aaabbc", k=1 + i % 7)) for i in range(60)]


def fitted(network: CountedNetwork, items: Items, vocabulary: Vocabulary) -> CountedNetwork:
    windows = Windows(encode(items, vocabulary), network.block_size)
    network.count(*windows.gather(torch.arange(len(windows))))
    return network.eval()  # type: ignore[return-value]


def nll_per_character(network: CountedNetwork, items: Items, vocabulary: Vocabulary) -> float:
    return score(network, vocabulary, items).double().sum().item() / (len(items) + len(items.code_points))


@pytest.mark.parametrize(
    ("block_size", "smoothing", "expected"),
    [(1, 0, 2.4540), (1, 1, 2.4546), (2, 0, 2.1857), (3, 0, 1.8842)],
)
def test_entropies_of_the_lectures_file(makemore: Path, block_size: int, smoothing: float, expected: float):
    """Catches n-grams missed, counted twice, or across two items."""
    items = read_items(makemore)
    vocabulary = Vocabulary(items.alphabet())
    network = fitted(NGram(len(vocabulary), block_size, smoothing), items, vocabulary)
    assert nll_per_character(network, items, vocabulary) == pytest.approx(expected, abs=5e-5)


def test_counts_on_dev(makemore: Path):
    """Catches a bigram off the lecture's 2.4533 on dev, and smoothing that makes a longer context worse."""
    items = read_items(makemore)
    vocabulary = Vocabulary(items.alphabet())
    splits = split_items(items, "lecture", "the file")
    bigram = fitted(NGram(len(vocabulary)), splits.train, vocabulary)
    assert nll_per_character(bigram, splits.dev, vocabulary) == pytest.approx(2.4533, abs=5e-4)
    losses = [
        nll_per_character(fitted(KneserNey(len(vocabulary), n), splits.train, vocabulary), splits.dev, vocabulary)
        for n in range(1, 6)
    ]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 2.0


@torch.no_grad()
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_ngram_against_counting_by_hand(smoothing: float):
    """Catches two n-grams with the same number."""
    vocabulary = Vocabulary("abc")
    network = fitted(NGram(4, 2, smoothing), Items.from_strings(STRINGS), vocabulary)
    table: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in STRINGS:
        padded = ".." + item + "."
        for i in range(2, len(padded)):
            table[padded[i - 2 : i]][padded[i]] += 1
    for context, counts in table.items():
        probabilities = network(torch.tensor([[".abc".index(c) for c in context]]))[0].exp()
        for i, symbol in enumerate(".abc"):
            expected = (counts[symbol] + smoothing) / (counts.total() + 4 * smoothing)
            assert float(probabilities[i]) == pytest.approx(expected)


def test_without_smoothing_an_unseen_pair_is_infinite_and_an_unseen_context_uniform():
    """Catches a NaN, and a finite NLL of an item that is impossible under the model."""
    vocabulary = Vocabulary("abc")
    network = fitted(NGram(4, 1, 0), Items.from_strings(["ab", "ab"]), vocabulary)
    impossible, possible = score(network, vocabulary, Items.from_strings(["ba", "ab"])).tolist()
    assert impossible == math.inf
    assert possible == 0
    assert network(torch.tensor([[3]])).exp().tolist() == [[0.25] * 4]


def discounts_by_hand(counts: Counter) -> list[float]:
    """Discounts of counts of 0, 1, 2 and more (Chen and Goodman 1999, equation 17)."""
    occurring = Counter(counts.values())
    discounts = [0.0]
    for i in (1, 2, 3):
        n1, n2 = occurring[1], occurring[2]
        usable = n1 + 2 * n2 and occurring[i]
        estimate = i - (i + 1) * n1 / (n1 + 2 * n2) * occurring[i + 1] / occurring[i] if usable else i / 2
        discounts.append(min(max(estimate, 0.1), i))
    return discounts


def kneser_ney_by_hand(strings: list[str], block_size: int, context: str, symbol: str) -> float:
    """Probability by interpolated modified Kneser-Ney (Chen and Goodman 1999), with sets and loops."""
    grams = Counter()
    for item in strings:
        padded = "." * block_size + item + "+"
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
        discounts = discounts_by_hand(counts)
        own = {s: counts[context[len(context) - n :] + s] for s in "+abc"}
        if sum(own.values()):
            discount = {s: discounts[min(c, 3)] for s, c in own.items()}
            p = (own[symbol] - discount[symbol] + sum(discount.values()) * p) / sum(own.values())
    return p


@torch.no_grad()
@pytest.mark.parametrize("block_size", [1, 2, 3])
def test_kneser_ney_against_sets_and_loops(block_size: int):
    """Catches occurrences counted instead of distinct predecessors, and discounts of another n-gram length."""
    network = fitted(KneserNey(4, block_size), Items.from_strings(STRINGS), Vocabulary("abc"))
    for longest in ("...", "..a", ".ab", "abc", "cab", "ccc", "caa"):
        context = longest[3 - block_size :]
        probabilities = network(torch.tensor([[".abc".index(c) for c in context]]))[0].exp()
        assert float(probabilities.sum()) == pytest.approx(1)
        for i, symbol in enumerate("+abc"):
            assert float(probabilities[i]) == pytest.approx(kneser_ney_by_hand(STRINGS, block_size, context, symbol))


LABELLED = [(i % 2, item) for i, item in enumerate(STRINGS) if i % 3]


def fitted_with_labels(network: CountedNetwork) -> CountedNetwork:
    labels = np.array([label for label, _ in LABELLED], np.int32)
    items = replace(Items.from_strings([item for _, item in LABELLED]), labels=labels)
    return fitted(network, items, Vocabulary("abc"))


def label_step_by_hand(n: int, block_size: int, label: int | None, context: str, lower: dict[str, float]) -> dict:
    """One length of Kneser-Ney, with sets and loops; the n-grams of all labels for None, else of each label."""
    grams: Counter[tuple[int | None, str]] = Counter()
    for own, item in LABELLED:
        padded = "." * block_size + item + "+"
        for i in range(block_size, len(padded)):
            grams[(None if label is None else own, padded[i - block_size : i + 1])] += 1
    counts: Counter[tuple[int | None, str]] = Counter()
    for (own, gram), count in grams.items():
        if n == block_size or (n and gram[-n - 1] == "."):
            counts[(own, gram[-n - 1 :])] += count
    for own, gram in {(own, gram[-n - 2 :]) for own, gram in grams}:
        if n < block_size and not (n and gram[-n - 1] == "."):
            counts[(own, gram[-n - 1 :])] += 1
    counts = Counter({key: count for key, count in counts.items() if not key[1][:-1].startswith("..")})
    discounts = discounts_by_hand(counts)
    own_counts = {s: counts[(label, context[len(context) - n :] + s)] for s in "+abc"}
    total = sum(own_counts.values())
    if not total:
        return lower
    freed = sum(discounts[min(c, 3)] for c in own_counts.values())
    return {s: (c - discounts[min(c, 3)] + freed * lower[s]) / total for s, c in own_counts.items()}


@torch.no_grad()
@pytest.mark.parametrize("block_size", [1, 2, 3])
def test_kneser_ney_with_labels_against_sets_and_loops(block_size: int):
    """Catches n-grams of one label counted for another, and a length that is smoothed towards the wrong one."""
    network = fitted_with_labels(KneserNey(4, block_size, num_labels=2))
    for longest in ("...", "..a", ".ab", "abc", "cab", "ccc", "caa"):
        context = longest[3 - block_size :]
        for label in (0, 1):
            of_all = own = dict.fromkeys("+abc", 0.25)
            for n in range(block_size + 1):
                of_all = label_step_by_hand(n, block_size, None, context, of_all)
                mixed = {s: 0.9 * own[s] + 0.1 * of_all[s] for s in own}
                own = label_step_by_hand(n, block_size, label, context, mixed)
            x = torch.tensor([[4 * label + ".abc".index(c) for c in context]])
            probabilities = network(x)[0].exp()
            assert float(probabilities.sum()) == pytest.approx(1)
            assert probabilities.tolist() == pytest.approx([own[s] for s in "+abc"])


@torch.no_grad()
@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_ngram_with_labels_against_counting_by_hand(smoothing: float):
    """Catches a label smoothed towards uniform where other labels have been seen."""
    network = fitted_with_labels(NGram(4, 1, smoothing, num_labels=2))

    def counts(label: int | None, context: str) -> list[int]:
        pairs = [p for own, item in LABELLED if label in (None, own) for p in zip("." + item, item + ".", strict=True)]
        return [pairs.count((context, s)) for s in ".abc"]

    for context in ".abc":
        every = [count + smoothing for count in counts(None, context)]
        for label in (0, 1):
            own = [c + 4 * smoothing * e / sum(every) for c, e in zip(counts(label, context), every, strict=True)]
            probabilities = network(torch.tensor([[4 * label + ".abc".index(context)]]))[0].exp()
            assert probabilities.tolist() == pytest.approx([count / sum(own) for count in own])


def test_counts_with_labels_come_back_from_a_state_dict():
    """Catches counts of all labels computed from old counts."""
    x = torch.tensor([[1, 2], [5, 6]])
    for make in (lambda: KneserNey(4, 2, num_labels=2), lambda: NGram(4, 2, num_labels=2)):
        saved, other = fitted_with_labels(make()), make()
        other.count(torch.tensor([[1, 2]]), torch.tensor([3]))
        assert not torch.equal(other(x), saved(x))
        other.load_state_dict(saved.state_dict())
        assert torch.equal(other(x), saved(x))


def test_counting_in_parts_is_counting_at_once():
    """Catches counts that replace earlier ones, and Kneser-Ney orders computed from old counts."""
    vocabulary = Vocabulary("abc")
    at_once = fitted(KneserNey(4, 2), Items.from_strings(STRINGS), vocabulary)
    parts = fitted(KneserNey(4, 2), Items.from_strings(STRINGS[:20]), vocabulary)
    x = torch.tensor([[1, 2]])
    assert not torch.equal(parts(x), at_once(x))
    fitted(parts, Items.from_strings(STRINGS[20:]), vocabulary)
    assert torch.equal(parts(x), at_once(x))


def test_counts_come_back_from_a_state_dict():
    """Catches buffers of another size, which torch rejects, and Kneser-Ney orders computed from old counts."""
    vocabulary = Vocabulary("abc")
    saved = fitted(KneserNey(4, 2), Items.from_strings(STRINGS), vocabulary)
    other = fitted(KneserNey(4, 2), Items.from_strings(["abc"]), vocabulary)
    x = torch.tensor([[1, 2]])
    assert not torch.equal(other(x), saved(x))
    other.load_state_dict(saved.state_dict())
    assert torch.equal(other(x), saved(x))


def test_invalid_settings_are_errors():
    """Catches n-gram numbers that overflow, so that two n-grams share a count."""
    with pytest.raises(ValueError, match="block_size is 13; that is too long to count over 27 ids"):
        NGram(27, block_size=13)
    NGram(27, block_size=12)
    with pytest.raises(ValueError, match="block_size is 12; that is too long to count over 27 ids"):
        NGram(27, block_size=12, num_labels=100)


def test_large_weights_need_no_memory():
    """Catches an array with a place for each possible count."""
    large, small = (_discounts(torch.tensor([1, 1, 1, 2, 2, 3, 4, most])) for most in (10**11, 7))
    assert torch.equal(large, small)
