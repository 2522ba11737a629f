"""The sampler against a loop that samples one id at a time, and the laws that its items obey."""

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch
from enumeration import all_new, sample_batches
from torch import Tensor

from mm_lightning import UserError
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks import MLP, NGram, base
from mm_lightning.sampling.options import SAMPLE_BATCH_SIZE, SamplingOptions
from mm_lightning.sampling.sampler import Sampler, sample


@torch.no_grad()
def next_weights(network: MLP, ids: list[int], options: SamplingOptions) -> list[float]:
    """Weights of the next id of one item, from the definitions of temperature, top_k and top_p."""
    logits = network.next_logits(torch.tensor([ids]))[0].tolist()
    weights = np.exp((np.array(logits) - max(logits)) / options.temperature)
    order = np.argsort(-weights, kind="stable")
    if options.top_k is not None:
        weights[order[options.top_k :]] = 0
    weights /= weights.sum()
    needed = 1 + int(np.searchsorted(np.cumsum(weights[order]), options.top_p)) if options.top_p < 1 else len(order)
    weights[order[needed:]] = 0
    if len(ids) - 1 == len(options.prefix) < options.min_length:
        weights[BOUNDARY] = 0
    return weights.tolist()  # type: ignore[no-any-return]


def sample_one_at_a_time(network: MLP, vocabulary: Vocabulary, options: SamplingOptions, batch: int) -> list[str]:
    """Items of a batch by the slow way: item by item, id by id; items of a wrong length are dropped."""
    generator, items = np.random.default_rng([options.seed, batch]), []
    uniform = [generator.random(SAMPLE_BATCH_SIZE) for _ in range(len(options.prefix), options.max_length + 1)]
    for row in range(SAMPLE_BATCH_SIZE):
        ids = [BOUNDARY, *vocabulary.encode_item(options.prefix)]
        for numbers in uniform:
            cumulative = list(itertools.accumulate(next_weights(network, ids, options)))
            next_id = next(i for i, c in enumerate(cumulative) if c > numbers[row] * cumulative[-1])
            if next_id == BOUNDARY:
                items += [vocabulary.decode(ids[1:])] * (len(ids) > options.min_length)
                break
            ids.append(next_id)
    return items


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"temperature": 0.5, "seed": 7}, id="temperature"),
        pytest.param({"top_k": 3}, id="top_k"),
        pytest.param({"top_p": 0.8}, id="top_p"),
        pytest.param({"prefix": "da", "min_length": 4, "max_length": 6}, id="lengths and prefix"),
        pytest.param({"prefix": "da", "min_length": 3, "top_k": 2}, id="top_k and a first id that is no end"),
        pytest.param({"prefix": "da", "min_length": 3, "top_p": 0.6}, id="top_p and a first id that is no end"),
        pytest.param({"temperature": 1.3, "top_k": 4, "top_p": 0.9, "prefix": "b", "max_length": 9}, id="all"),
    ],
)
def test_a_batch_equals_sampling_one_at_a_time(network: MLP, vocabulary: Vocabulary, settings: dict[str, Any]):
    """Catches rows that take random numbers of other rows once items have ended, and masks in the wrong order."""
    options = SamplingOptions(**{"max_length": 12} | settings)
    expected = sample_one_at_a_time(network, vocabulary, options, 1)
    assert Sampler(network, vocabulary, options).sample_batch(1) == expected


@pytest.mark.parametrize("settings", [{}, {"prefix": "da", "min_length": 4, "temperature": 0.7, "top_p": 0.9}])
def test_a_table_changes_no_item(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
):
    """Catches windows with a wrong index, a table used for another reader, and a row read before it is computed."""
    options = SamplingOptions(num_samples=3000, **settings)
    with_table = sample(network, vocabulary, options, all_new)
    monkeypatch.setattr(base, "_MAX_TABLE_ELEMENTS", 0)
    assert sample(network, vocabulary, options, all_new) == with_table


def test_a_network_without_a_table_equals_sampling_one_at_a_time(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
):
    """Catches a state that keeps the rows of items that ended."""
    monkeypatch.setattr(base, "_MAX_TABLE_ELEMENTS", 0)
    options = SamplingOptions(prefix="da", min_length=4, max_length=6)
    expected = sample_one_at_a_time(network, vocabulary, options, 1)
    assert Sampler(network, vocabulary, options).sample_batch(1) == expected


def test_a_window_is_computed_once(network: MLP, vocabulary: Vocabulary):
    """Catches a table that is filled repeatedly, or whole for a few items: slow, with the same items."""
    computed: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.extend(map(tuple, inputs[0].tolist())))
    sampler = Sampler(network, vocabulary, SamplingOptions(min_length=0))
    windows = set(itertools.product(range(len(vocabulary)), repeat=network.block_size))
    for batch in range(4):
        sampler.sample_batch(batch)
        known = [window for window in computed if any(window)]  # boundaries alone fill up a call
        assert len(set(known)) == len(known) < len(windows)
    assert set(computed) == windows


def test_the_rows_of_a_table_do_not_depend_on_the_requests(vocabulary: Vocabulary):
    """Catches items that hang on the batches before: processes that share out the batches would sample others.

    Matrix products of fewer rows round otherwise, and by chance a draw flips.
    """
    torch.manual_seed(0)
    network = MLP(64, block_size=2, embed_dim=30, hidden_dim=512).eval()
    first, again = (network.window_table(lambda logits: logits.double().cpu(), 64) for _ in range(2))
    assert first is not None
    assert again is not None
    for number in range(0, 64 * 64, 7):
        first.advance(torch.tensor([[number // 64, number % 64]]), ())
    assert torch.equal(first.rows(), again.rows())


def test_few_items_do_not_compute_every_window():
    """Catches samples at the end of an epoch that cost a table of 19,683 windows."""
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    network = MLP(len(vocabulary)).eval()
    computed: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.append(len(inputs[0])))
    sample(network, vocabulary, SamplingOptions(num_samples=10, max_length=5), all_new)
    assert sum(computed) < 6 * SAMPLE_BATCH_SIZE  # 5 ids and a boundary


def test_a_table_has_a_limit():
    """Catches memory allocated for all windows of a long context: 27^8 rows."""
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    network = MLP(len(vocabulary), block_size=8).eval()
    assert len(sample(network, vocabulary, SamplingOptions(max_length=50), all_new)) == 20


def test_in_single_precision_the_first_items_are_the_same_too(network: MLP, vocabulary: Vocabulary):
    """Catches windows that are computed together for many items only, and so round differently."""
    network.float()
    computed: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.append(inputs[0]))
    few = sample(network, vocabulary, SamplingOptions(num_samples=1000), all_new)
    num_batches = len(computed)
    many = sample(network, vocabulary, SamplingOptions(num_samples=10_000), all_new)
    assert many[:1000] == few
    assert all(torch.equal(*pair) for pair in zip(computed[:num_batches], computed[num_batches:], strict=False))


def test_items_that_can_only_end_too_early_are_dropped(always_ab: NGram, ab_vocabulary: Vocabulary):
    """Catches items shorter than min_length, and items of probability 0."""
    options = SamplingOptions(min_length=2)
    assert Sampler(always_ab, ab_vocabulary, options).sample_batch(0) == ["ab"] * SAMPLE_BATCH_SIZE
    assert Sampler(always_ab, ab_vocabulary, SamplingOptions(min_length=3)).sample_batch(0) == []


def test_greedy_items_follow_the_argmax(network: MLP, vocabulary: Vocabulary):
    """Catches temperature 0 with an influence of the random numbers."""
    ids = [BOUNDARY]
    while len(ids) <= 50:
        ids.append(int(network.next_logits(torch.tensor([ids])).argmax()))
        if ids[-1] == BOUNDARY:
            break
    options = SamplingOptions(temperature=0, min_length=0, max_length=49)
    expected = [vocabulary.decode(ids[1:-1])] * SAMPLE_BATCH_SIZE if ids[-1] == BOUNDARY else []
    assert Sampler(network, vocabulary, options).sample_batch(0) == expected


def test_items_have_the_prefix_and_lengths_within_bounds(network: MLP, vocabulary: Vocabulary):
    """Catches lengths without the prefix, and bounds off by one."""
    options = SamplingOptions(num_samples=2000, prefix="ca", min_length=4, max_length=6)
    items = sample(network, vocabulary, options, all_new)
    assert len(items) == 2000
    assert all(item.startswith("ca") for item in items)
    assert {len(item) for item in items} == {4, 5, 6}


def test_an_item_over_max_length_is_dropped_not_cut(network: MLP, vocabulary: Vocabulary):
    """Catches items that the model never ended."""
    unlimited = Sampler(network, vocabulary, SamplingOptions()).sample_batch(0)
    short = Sampler(network, vocabulary, SamplingOptions(max_length=3)).sample_batch(0)
    assert short == [item for item in unlimited if len(item) <= 3]
    assert 0 < len(short) < len(unlimited) == SAMPLE_BATCH_SIZE


def test_min_length_0_allows_the_empty_item(network: MLP, vocabulary: Vocabulary):
    """Catches a first id that is never the boundary, whatever the model's probabilities."""
    assert "" in Sampler(network, vocabulary, SamplingOptions(min_length=0)).sample_batch(0)
    assert "" not in Sampler(network, vocabulary, SamplingOptions(min_length=1)).sample_batch(0)
    assert "ab" in Sampler(network, vocabulary, SamplingOptions(prefix="ab")).sample_batch(0)


def test_the_first_items_do_not_depend_on_the_number_requested(network: MLP, vocabulary: Vocabulary):
    """Catches one random stream for all items, which makes each item depend on --sampling.num_samples."""
    many = sample(network, vocabulary, SamplingOptions(num_samples=2500), all_new)
    assert len(many) == 2500
    for count in (1, 20, 1024, 1025):
        assert sample(network, vocabulary, SamplingOptions(num_samples=count), all_new) == many[:count]
    assert many[:1024] != many[1024:2048]


def test_seeds_give_different_items(network: MLP, vocabulary: Vocabulary):
    """Catches an ignored seed, and a sum of seed and batch: batch 1 of seed 0 would be batch 0 of seed 1."""
    batches = [
        tuple(Sampler(network, vocabulary, SamplingOptions(seed=seed)).sample_batch(batch))
        for seed in (0, 1)
        for batch in (0, 1)
    ]
    assert len(set(batches)) == 4


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_sampled_characters_follow_the_model(network: MLP, vocabulary: Vocabulary, temperature: float):
    """Catches biased samples; chi-square, 4 degrees of freedom, over 18.47 once in a thousand seeds."""
    options = SamplingOptions(temperature=temperature, prefix="b", min_length=0)
    items = sample_batches(Sampler(network, vocabulary, options), 20)
    first = [item[1:2] for item in items]
    observed = np.array([first.count(symbol) for symbol in ("", *vocabulary.alphabet)])
    with torch.no_grad():
        logits = network.next_logits(torch.tensor([[BOUNDARY, *vocabulary.encode_item("b")]]))[0]
    expected = len(items) * (logits / temperature).softmax(0).numpy()
    assert len(items) == 20 * SAMPLE_BATCH_SIZE
    assert ((observed - expected) ** 2 / expected).sum() < 18.47


def test_global_random_state_is_unchanged(network: MLP, vocabulary: Vocabulary):
    """Catches samples at the end of an epoch that change the training after them."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert sample(network, vocabulary, SamplingOptions(), all_new)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_prefix_outside_the_alphabet_is_an_error(network: MLP, vocabulary: Vocabulary):
    """Catches a prefix that is shortened silently, and an index out of range."""
    with pytest.raises(UserError, match="not in the model's alphabet: 'z'"):
        Sampler(network, vocabulary, SamplingOptions(prefix="az")).sample_batch(0)


def test_a_prefix_over_max_length_is_an_error(network: MLP, vocabulary: Vocabulary):
    """Catches no items without a reason."""
    assert set(Sampler(network, vocabulary, SamplingOptions(prefix="abc", max_length=3)).sample_batch(0)) <= {"abc"}
    with pytest.raises(UserError, match=r"sampling.max_length is 2; .*prefix \(3\)"):
        Sampler(network, vocabulary, SamplingOptions(prefix="abc", max_length=2)).sample_batch(0)


def test_a_network_in_training_mode_is_an_error(network: MLP, vocabulary: Vocabulary):
    """Catches dropout in samples."""
    with pytest.raises(RuntimeError, match="eval mode"):
        Sampler(network.train(), vocabulary, SamplingOptions()).sample_batch(0)
