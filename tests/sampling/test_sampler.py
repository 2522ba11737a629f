"""What sampling promises, as laws, and each draw against a loop that draws one character at a time."""

import itertools
import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.networks import MLP, NGram, base
from mm_lightning.sampling import SAMPLE_BATCH_SIZE, Sampler, SamplingOptions, Selection, probabilities, sample


def random_logits(rows: int = 50, width: int = 9) -> Tensor:
    return 3 * torch.randn(rows, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def all_new(words: list[str]) -> list[bool]:
    return [True] * len(words)


def starts_with_other_than_a(words: list[str]) -> list[bool]:
    return [not word.startswith("a") for word in words]


@torch.no_grad()
def next_weights(network: MLP, ids: list[int], options: SamplingOptions) -> list[float]:
    """Weights of the next id, from the definitions of temperature, top_k and top_p, for one word."""
    logits = network.next_logits(torch.tensor([ids]))[0].tolist()
    if len(ids) - 1 == len(options.prefix) < options.min_length:
        logits[BOUNDARY] = -np.inf
    weights = np.exp((np.array(logits) - max(logits)) / options.temperature)
    order = np.argsort(-weights, kind="stable")
    if options.top_k is not None:
        weights[order[options.top_k :]] = 0
    weights /= weights.sum()
    needed = 1 + int(np.searchsorted(np.cumsum(weights[order]), options.top_p)) if options.top_p < 1 else len(order)
    weights[order[needed:]] = 0
    return weights.tolist()  # type: ignore[no-any-return]


def draw_one_at_a_time(network: MLP, vocabulary: Vocabulary, options: SamplingOptions, block: int) -> list[str]:
    """The words of a block by the slow way: word by word, character by character; those of a wrong length left out."""
    rng, words = np.random.default_rng([options.seed, block]), []
    uniform = [rng.random(SAMPLE_BATCH_SIZE) for _ in range(len(options.prefix), options.max_length + 1)]
    for row in range(SAMPLE_BATCH_SIZE):
        ids = [BOUNDARY, *vocabulary.encode_item(options.prefix)]
        for numbers in uniform:
            cumulative = list(itertools.accumulate(next_weights(network, ids, options)))
            following = next(i for i, c in enumerate(cumulative) if c > numbers[row] * cumulative[-1])
            if following == BOUNDARY:
                words += [vocabulary.decode(ids[1:])] * (len(ids) > options.min_length)
                break
            ids.append(following)
    return words


@pytest.mark.parametrize(("top_k", "top_p"), [(None, 1.0), (1, 1.0), (3, 0.5), (None, 0.01), (100, 0.999)])
def test_temperature_0_is_argmax_whatever_else(top_k: int | None, top_p: float):
    """A greedy choice that top_k or top_p spoils, or a division by zero."""
    logits = random_logits()
    chosen = probabilities(logits, SamplingOptions(temperature=0, top_k=top_k, top_p=top_p))
    assert torch.equal(chosen, torch.nn.functional.one_hot(logits.argmax(1), 9).double())


@pytest.mark.parametrize("temperature", [1e-2, 1e-12, 1e-308])
def test_low_temperatures_approach_argmax(temperature: float):
    """Overflow on the way to the limit, which would give NaN and so empty words."""
    logits = random_logits() + 10 * torch.nn.functional.one_hot(random_logits().argmax(1), 9)
    expected = probabilities(logits, SamplingOptions(temperature=0))
    torch.testing.assert_close(probabilities(logits, SamplingOptions(temperature=temperature)), expected)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_temperature_divides_the_logits(temperature: float):
    """A temperature that multiplies, or works on probabilities."""
    logits = random_logits()
    logs = probabilities(logits, SamplingOptions(temperature=temperature)).log()
    torch.testing.assert_close((logs - logs[:, :1]) * temperature, logits - logits[:, :1])


@pytest.mark.parametrize("top_k", [1, 2, 8, 9, 10, 1000])
def test_top_k_keeps_the_k_likeliest(top_k: int):
    """One too many or too few, the least likely instead, or their proportions changed."""
    logits = random_logits()
    result, full = probabilities(logits, SamplingOptions(top_k=top_k)), logits.softmax(1)
    expected = torch.zeros_like(full)
    for row in range(len(logits)):
        kept = sorted(range(9), key=lambda i, row=row: -float(logits[row, i]))[:top_k]
        expected[row, kept] = full[row, kept]
    torch.testing.assert_close(result / result.sum(1, keepdim=True), expected / expected.sum(1, keepdim=True))


def test_top_k_keeps_k_also_where_logits_are_equal():
    """More than k at a tie, common in half precision: top_k 1 would not be greedy."""
    logits = torch.tensor([[1.0, 2.0, 2.0, 2.0], [3.0, 3.0, 3.0, 3.0]], dtype=torch.float64)
    for top_k in (1, 2):
        kept = probabilities(logits, SamplingOptions(top_k=top_k)) > 0
        assert kept.sum(1).tolist() == [top_k, top_k]


@pytest.mark.parametrize("top_p", [0.001, 0.3, 0.9, 0.99999])
def test_top_p_keeps_the_smallest_set_that_reaches_p(top_p: float):
    """The character that crosses p left out (nothing left for a small p), or one too many kept."""
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
    """Rounding in the sum that drops the rarest characters where nothing was asked for."""
    torch.testing.assert_close(probabilities(random_logits(), SamplingOptions()), random_logits().softmax(1))


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_logits_that_are_no_numbers_are_an_error(temperature: float):
    """Items drawn from a network that diverged."""
    logits = random_logits()
    logits[3, 4] = torch.nan
    with pytest.raises(ValueError, match="not numbers"):
        probabilities(logits, SamplingOptions(temperature=temperature))


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"temperature": 0.5, "seed": 7}, id="temperature"),
        pytest.param({"top_k": 3}, id="top_k"),
        pytest.param({"top_p": 0.8}, id="top_p"),
        pytest.param({"prefix": "da", "min_length": 4, "max_length": 6}, id="lengths and prefix"),
        pytest.param({"temperature": 1.3, "top_k": 4, "top_p": 0.9, "prefix": "b", "max_length": 9}, id="all"),
    ],
)
def test_a_block_equals_drawing_one_at_a_time(network: MLP, vocabulary: Vocabulary, settings: dict[str, Any]):
    """Rows that take each other's numbers once some have ended, or masks applied in another order."""
    options = SamplingOptions(**{"max_length": 12} | settings)
    assert Sampler(network, vocabulary, options).sample_batch(1) == draw_one_at_a_time(network, vocabulary, options, 1)


@pytest.mark.parametrize("settings", [{}, {"prefix": "da", "min_length": 4, "temperature": 0.7, "top_p": 0.9}])
def test_a_table_changes_no_word(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
):
    """Windows numbered wrongly, a row of one option's table used for another's, or a draw that reads an empty row."""
    options = SamplingOptions(num_samples=3000, **settings)
    with_table = sample(network, vocabulary, options, all_new)
    monkeypatch.setattr(base, "_MAX_TABLE_ELEMENTS", 0)
    assert sample(network, vocabulary, options, all_new) == with_table


def test_a_network_without_a_table_equals_drawing_one_at_a_time(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
):
    """A state that keeps the rows of words that ended."""
    monkeypatch.setattr(base, "_MAX_TABLE_ELEMENTS", 0)
    options = SamplingOptions(prefix="da", min_length=4, max_length=6)
    assert Sampler(network, vocabulary, options).sample_batch(1) == draw_one_at_a_time(network, vocabulary, options, 1)


def test_a_window_is_computed_once(network: MLP, vocabulary: Vocabulary):
    """A table that is filled again and again, or whole for a few words: slow, and no word would show it."""
    computed: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.extend(map(tuple, inputs[0].tolist())))
    sampler = Sampler(network, vocabulary, SamplingOptions(min_length=0))
    sampler.sample_batch(0)
    assert len(set(computed)) == len(computed) <= len(vocabulary) ** network.block_size
    for block in range(1, 4):
        sampler.sample_batch(block)
    assert sorted(computed) == sorted(itertools.product(range(len(vocabulary)), repeat=network.block_size))


def test_few_words_do_not_compute_every_window():
    """Samples at the end of an epoch that cost a table of 19,683 windows."""
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    network = MLP(len(vocabulary)).eval()
    computed: list[int] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.append(len(inputs[0])))
    sample(network, vocabulary, SamplingOptions(num_samples=10, max_length=5), all_new)
    assert sum(computed) < 6 * SAMPLE_BATCH_SIZE  # words of 6 draws


def test_a_table_has_a_limit():
    """Memory for all windows of a long context: 27^8 rows."""
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    network = MLP(len(vocabulary), block_size=8).eval()
    assert len(sample(network, vocabulary, SamplingOptions(max_length=50), all_new)) == 20


def test_in_single_precision_the_first_words_are_the_same_too(network: MLP, vocabulary: Vocabulary):
    """A table that is made for many words only, and so rounds otherwise than for few."""
    network.float()
    computed: list[Tensor] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.append(inputs[0]))
    few = sample(network, vocabulary, SamplingOptions(num_samples=1000), all_new)
    num_batches = len(computed)
    many = sample(network, vocabulary, SamplingOptions(num_samples=10_000), all_new)
    assert many[:1000] == few
    assert all(
        torch.equal(*pair) for pair in zip(computed[:num_batches], computed[num_batches:], strict=False)
    )  # one way to round


def test_words_that_can_only_end_too_early_are_left_out():
    """Items shorter than min_length, or made of what the model holds impossible."""
    vocabulary = Vocabulary("ab")
    network = NGram(len(vocabulary), block_size=2, smoothing=0).eval()
    network.count(torch.tensor([[0, 0], [0, 1], [1, 2]]), torch.tensor([1, 2, 0]))  # .. -> a, .a -> b, ab -> .
    assert Sampler(network, vocabulary, SamplingOptions(min_length=2)).sample_batch(0) == ["ab"] * SAMPLE_BATCH_SIZE
    assert Sampler(network, vocabulary, SamplingOptions(min_length=3)).sample_batch(0) == []


def test_greedy_words_follow_the_argmax(network: MLP, vocabulary: Vocabulary):
    """Temperature 0 that takes part of the random numbers."""
    ids = [BOUNDARY]
    while len(ids) <= 50:
        ids.append(int(network.next_logits(torch.tensor([ids])).argmax()))
        if ids[-1] == BOUNDARY:
            break
    options = SamplingOptions(temperature=0, min_length=0, max_length=49)
    expected = [vocabulary.decode(ids[1:-1])] * SAMPLE_BATCH_SIZE if ids[-1] == BOUNDARY else []
    assert Sampler(network, vocabulary, options).sample_batch(0) == expected


def test_prefix_and_lengths_are_honoured(network: MLP, vocabulary: Vocabulary):
    """Lengths that leave the prefix out, or bounds one off."""
    options = SamplingOptions(num_samples=2000, prefix="ca", min_length=4, max_length=6)
    words = sample(network, vocabulary, options, all_new)
    assert len(words) == 2000
    assert all(word.startswith("ca") for word in words)
    assert {len(word) for word in words} == {4, 5, 6}


def test_a_word_over_max_length_is_dropped_not_cut(network: MLP, vocabulary: Vocabulary):
    """Items that the model never ended, sold as its own."""
    every = Sampler(network, vocabulary, SamplingOptions()).sample_batch(0)
    short = Sampler(network, vocabulary, SamplingOptions(max_length=3)).sample_batch(0)
    assert short == [word for word in every if len(word) <= 3]
    assert 0 < len(short) < len(every) == SAMPLE_BATCH_SIZE


def test_min_length_0_allows_the_empty_word(network: MLP, vocabulary: Vocabulary):
    """A first draw that can never be the boundary, though the model gives it a chance."""
    assert "" in Sampler(network, vocabulary, SamplingOptions(min_length=0)).sample_batch(0)
    assert "" not in Sampler(network, vocabulary, SamplingOptions(min_length=1)).sample_batch(0)
    assert "ab" in Sampler(network, vocabulary, SamplingOptions(prefix="ab")).sample_batch(0)


def test_the_first_words_do_not_depend_on_how_many_are_asked_for(network: MLP, vocabulary: Vocabulary):
    """A random stream shared by all words, so that --sampling.num_samples changes each of them."""
    many = sample(network, vocabulary, SamplingOptions(num_samples=2500), all_new)
    assert len(many) == 2500
    for count in (1, 20, 1024, 1025):
        assert sample(network, vocabulary, SamplingOptions(num_samples=count), all_new) == many[:count]
    assert many[:1024] != many[1024:2048]


def test_seeds_give_different_words(network: MLP, vocabulary: Vocabulary):
    """A seed ignored, or added to the block's number: block 1 of seed 0 would be block 0 of seed 1."""
    drawn = [
        tuple(Sampler(network, vocabulary, SamplingOptions(seed=seed)).sample_batch(block))
        for seed in (0, 1)
        for block in (0, 1)
    ]
    assert len(set(drawn)) == 4


def test_unique_and_only_new_leave_out_and_keep_the_order(network: MLP, vocabulary: Vocabulary):
    """Repeats across blocks, known words among the new, or other words than the same seed gives without conditions."""
    sampler = Sampler(network, vocabulary, SamplingOptions())
    plain = [word for block in range(20) for word in sampler.sample_batch(block)]
    unique = list(dict.fromkeys(plain))[:1500]
    new = [word for word in plain if not word.startswith("a")][:1500]
    both = list(dict.fromkeys(word for word in plain if not word.startswith("a")))[:500]
    assert len(unique) == len(new) == 1500
    assert sample(network, vocabulary, SamplingOptions(num_samples=1500, unique=True), all_new) == unique
    options = SamplingOptions(num_samples=1500, only_new=True)
    assert sample(network, vocabulary, options, starts_with_other_than_a) == new
    options = SamplingOptions(num_samples=500, unique=True, only_new=True)
    assert sample(network, vocabulary, options, starts_with_other_than_a) == both


def test_drawing_gives_up_and_says_so(network: MLP, vocabulary: Vocabulary):
    """A loop without end, or fewer words than asked for without a word."""
    options = SamplingOptions(num_samples=30, unique=True, max_length=1)
    assert sorted(sample(network, vocabulary, options, all_new)) == ["a", "b", "c", "d"]
    sampler, selection = Sampler(network, vocabulary, options), Selection(options, all_new)
    found = [word for block in selection.batches() for word in selection.accept(sampler.sample_batch(block))]
    assert len(found) == 4
    assert selection.max_batches == 3  # 30 words, 100 draws each, in whole blocks
    assert (selection.shortfall() or "").startswith("found 4 of 30 words in 3072 draws")


def test_no_shortfall_is_told_where_there_is_none():
    """A warning under a complete list, or drawing on when there is enough."""
    selection = Selection(SamplingOptions(num_samples=2), all_new)
    blocks = selection.batches()
    assert next(blocks) == 0
    assert selection.accept(["a", "b", "c"]) == ["a", "b"]
    assert list(blocks) == []
    assert selection.shortfall() is None


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_drawn_characters_follow_the_model(network: MLP, vocabulary: Vocabulary, temperature: float):
    """A bias of the draw; chi-square, 4 degrees of freedom, over 18.47 once in a thousand seeds."""
    options = SamplingOptions(temperature=temperature, prefix="b", min_length=0)
    sampler = Sampler(network, vocabulary, options)
    words = [word for block in range(20) for word in sampler.sample_batch(block)]
    first = [word[1:2] for word in words]
    observed = np.array([first.count(symbol) for symbol in ("", *vocabulary.alphabet)])
    with torch.no_grad():
        logits = network.next_logits(torch.tensor([[BOUNDARY, *vocabulary.encode_item("b")]]))[0]
    expected = len(words) * (logits / temperature).softmax(0).numpy()
    assert len(words) == 20 * SAMPLE_BATCH_SIZE
    assert ((observed - expected) ** 2 / expected).sum() < 18.47


def test_global_random_state_is_untouched(network: MLP, vocabulary: Vocabulary):
    """Samples at the end of an epoch that change the training after it."""
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert sample(network, vocabulary, SamplingOptions(), all_new)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index, union-attr]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "sampling.num_samples is 0; it must be at least 1"),
        ({"temperature": -0.1}, "sampling.temperature is -0.1; it must be 0 or more"),
        ({"temperature": float("nan")}, "sampling.temperature is nan"),
        ({"temperature": float("inf")}, "sampling.temperature is inf"),
        ({"top_k": 0}, "sampling.top_k is 0; it must be at least 1"),
        ({"top_p": 0.0}, "sampling.top_p is 0.0; it must be above 0"),
        ({"top_p": 1.01}, "sampling.top_p is 1.01; it must be above 0 and at most 1"),
        ({"top_p": float("nan")}, "sampling.top_p is nan"),
        ({"min_length": -1}, "sampling.min_length is -1"),
        ({"max_length": 0}, "sampling.max_length is 0"),
        ({"min_length": 5, "max_length": 4}, r"sampling.max_length is 4; .*min_length \(5\)"),
        ({"seed": -1}, "sampling.seed is -1"),
    ],
)
def test_settings_that_make_no_sense_are_errors(settings: dict[str, Any], message: str):
    """An empty answer, or an error of torch's, for a mistyped option."""
    with pytest.raises(ValueError, match=message):
        SamplingOptions(**settings)


def test_a_prefix_outside_the_alphabet_is_an_error(network: MLP, vocabulary: Vocabulary):
    """A prefix silently shortened, or an index out of range."""
    with pytest.raises(ValueError, match="not in the model's alphabet: 'z'"):
        Sampler(network, vocabulary, SamplingOptions(prefix="az")).sample_batch(0)


def test_a_prefix_over_max_length_is_an_error(network: MLP, vocabulary: Vocabulary):
    """No word at all, and no reason given."""
    assert set(Sampler(network, vocabulary, SamplingOptions(prefix="abc", max_length=3)).sample_batch(0)) <= {"abc"}
    with pytest.raises(ValueError, match=r"sampling.max_length is 2; .*prefix \(3\)"):
        Sampler(network, vocabulary, SamplingOptions(prefix="abc", max_length=2)).sample_batch(0)


def test_a_network_in_training_is_refused(network: MLP, vocabulary: Vocabulary):
    """Dropout left on while sampling."""
    with pytest.raises(AssertionError, match="eval mode"):
        Sampler(network.train(), vocabulary, SamplingOptions()).sample_batch(0)
