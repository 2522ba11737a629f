"""Items under conditions: the automaton against Python's regular expressions, draws and search against enumeration."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from run_command import FIT, run

from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary, WordVocabulary
from mm_lightning.networks import GRU, MLP, Bigram, NGram
from mm_lightning.networks.base import Network
from mm_lightning.sampling import (
    SAMPLE_BATCH_SIZE,
    ConditionalSampler,
    Sampler,
    SamplingOptions,
    Selection,
    strategy,
)
from mm_lightning.sampling.conditions import messages
from mm_lightning.sampling.conditions.automaton import Automaton
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.conditions.exact import ExactSampler
from mm_lightning.sampling.conditions.messages import MaxProductMessages, SumProductMessages
from mm_lightning.sampling.conditions.resampling import Resampler
from mm_lightning.sampling.probabilities import next_probabilities

LONGEST = 7  # 21,845 words over four characters
ALONE_AND_TOGETHER = [
    pytest.param({"suffix": "dc"}, id="suffix"),
    pytest.param({"contains": "cc"}, id="contains"),
    pytest.param({"pattern": "a..d*"}, id="pattern"),
    pytest.param({"min_length": 6}, id="min_length"),
    pytest.param({"max_length": 1, "min_length": 0}, id="max_length"),
    pytest.param({"prefix": "ab", "suffix": "bc", "contains": "dd"}, id="prefix, suffix and contains"),
    pytest.param({"prefix": "ab", "suffix": "bc", "max_length": 3}, id="prefix and suffix overlap"),
    pytest.param(
        {"prefix": "b", "suffix": "a", "contains": "cc", "pattern": "*d*", "min_length": 5, "max_length": 6}, id="all"
    ),
    pytest.param({"suffix": "dc", "temperature": 0.8, "top_k": 4, "top_p": 0.97}, id="after top_k and top_p"),
]


def wanted(word: str, options: SamplingOptions) -> bool:
    """The meaning of the options."""
    expression = "".join({".": ".", "*": ".*"}.get(c, re.escape(c)) for c in options.pattern)
    return (
        word.startswith(options.prefix)
        and word.endswith(options.suffix)
        and options.contains in word
        and (not options.pattern or re.fullmatch(expression, word) is not None)
        and options.min_length <= len(word) <= options.max_length
    )


@torch.no_grad()
def enumerated(network: Network, vocabulary: Vocabulary, options: SamplingOptions) -> dict[str, float]:
    """Probabilities of all words as they are wanted, up to `LONGEST` characters, as the network alone has them."""
    result = {}
    for length in range(LONGEST + 1):
        ids = torch.tensor([[BOUNDARY, *word] for word in product(range(1, len(vocabulary)), repeat=length)])
        steps = network.sequence_logits(ids).flatten(0, 1)
        chances = next_probabilities(steps, vocabulary, options).view(*ids.shape, -1)
        following = torch.cat([ids[:, 1:], torch.zeros_like(ids[:, :1])], 1)
        totals = chances.gather(2, following[..., None]).prod(1)[:, 0].tolist()
        result |= {vocabulary.decode(word[1:]): total for word, total in zip(ids.tolist(), totals, strict=True)}
    return {word: chance for word, chance in result.items() if chance > 0 and wanted(word, options)}


def options_of(settings: dict[str, Any]) -> SamplingOptions:
    return SamplingOptions(**{"max_length": LONGEST} | settings)


def draw(sampler: ConditionalSampler | Resampler, num_blocks: int) -> list[str]:
    return [word for block in range(num_blocks) for word in sampler.sample_batch(block)]


def chi_square(words: list[str], chances: dict[str, float]) -> float:
    """Deviation of words from chances in standard deviations of the chi-square distribution; rare words are pooled."""
    total, counts = sum(chances.values()), Counter(words)
    expected = {word: len(words) * chance / total for word, chance in chances.items()}
    common = [word for word, count in expected.items() if count >= 8]
    pairs = [(counts[word], expected[word]) for word in common]
    rest = len(words) - sum(count for _, count in pairs), len(words) - sum(count for word, count in pairs)
    pairs += [rest] if rest[1] >= 8 else []
    statistic = sum((found - count) ** 2 / count for found, count in pairs)
    freedom = max(len(pairs) - 1, 1)
    return float((statistic - freedom) / np.sqrt(2 * freedom))


def random_pattern(random: random.Random, longest: int = 5) -> str:
    return "".join(random.choice("aabb..*") for _ in range(random.randint(1, longest)))


def test_the_automaton_accepts_what_the_expressions_do():
    """A wildcard or an overlap that is misread, states dropped that matter, or a product that is a union."""
    vocabulary, chance = Vocabulary("abc"), random.Random(0)
    words = ["".join(word) for length in range(7) for word in product("abc", repeat=length)]
    num_wanted = 0
    for _ in range(150):
        parts = {name: "".join(chance.choices("ab", k=chance.randint(0, 2))) for name in ("suffix", "contains")}
        options = SamplingOptions(**parts, pattern=chance.choice(["", random_pattern(chance)]), min_length=0)
        try:
            condition = Condition(vocabulary, options)
        except ValueError:
            assert not any(wanted(word, options) for word in words), options
            continue
        expected = [wanted(word, options) for word in words]
        assert condition.holds(words) == expected, options
        num_wanted += sum(expected)
    assert num_wanted > 10_000


def test_conditions_that_nothing_meets_are_found():
    """An endless search for what no word can be; or an error for what a long word could be."""
    vocabulary, chance = Vocabulary("ab"), random.Random(1)
    words = ["".join(word) for length in range(9) for word in product("ab", repeat=length)]
    seen = Counter()
    for _ in range(300):
        ends = {name: "".join(chance.choices("ab", k=chance.randint(0, 2))) for name in ("prefix", "suffix")}
        bounds = sorted(chance.choices(range(2, 9), k=2))
        options = SamplingOptions(**ends, pattern=random_pattern(chance, 8), min_length=bounds[0], max_length=bounds[1])
        is_possible = any(wanted(word, options) for word in words)
        seen[is_possible] += 1
        if is_possible:
            Condition(vocabulary, options)
        else:
            with pytest.raises(ValueError, match="no word can have sampling"):
                Condition(vocabulary, options)
    assert min(seen.values()) > 20


def test_a_backslash_takes_wildcards_literally():
    """No way to ask for a dot, a star or a backslash that the data have."""
    vocabulary = Vocabulary("ab.*\\")
    condition = Condition(vocabulary, SamplingOptions(pattern=r".\.\*\\*", contains=".*"))
    words = [r"a.*\\", "b.*\\a", "a.a*\\", "a.*a", "aa*\\", ".*\\"]
    assert condition.holds(words) == [True, True, False, False, False, False]


def test_the_number_of_states_has_a_limit():
    """Gigabytes of subsets for a run before many wildcards."""
    with pytest.raises(ValueError, match="too intricate"):
        Condition(Vocabulary("ab"), SamplingOptions(pattern="*a" + "." * 30))
    assert len(Automaton.of([(-2, *[1] * 30, -2)], 3)) == 32  # and not for a long part


@pytest.mark.parametrize("settings", ALONE_AND_TOGETHER)
def test_messages_are_the_enumerated_chance(network: MLP, vocabulary: Vocabulary, settings: dict[str, Any]):
    """A window numbered wrongly, a length one off, or a boundary that is let in or left out."""
    options = options_of(settings)
    chances = enumerated(network, vocabulary, options)
    table = network.window_table(lambda logits: next_probabilities(logits, vocabulary, options), len(vocabulary))
    assert table is not None
    with torch.no_grad():
        rows = table.rows()
    condition = Condition(vocabulary, options)
    before = 1.0
    ids = [BOUNDARY] * 3
    for i in condition.prefix:  # the messages are conditional on the prefix
        before *= float(rows[ids[-3] * 25 + ids[-2] * 5 + ids[-1], i])
        ids.append(i)
    guide = SumProductMessages(rows, condition)
    exact = float(guide.worth(guide.first, *guide.start(1)))
    assert exact * before * guide.share == pytest.approx(sum(chances.values()), rel=1e-12 if guide.share == 1 else 0.01)
    best = MaxProductMessages(rows, condition)
    highest = float(best.worth(best.first, *best.start(1)))
    assert highest * before == pytest.approx(max(chances.values()), rel=1e-12)


@pytest.mark.parametrize("settings", ALONE_AND_TOGETHER)
def test_a_short_context_is_drawn_exactly(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
):
    """Draws that meet the condition without following the model, as masks alone would give."""
    monkeypatch.setattr(strategy, "_RARE", 1.0)  # rejection would be exact too
    options = options_of(settings)
    sampler = ConditionalSampler(network, vocabulary, options)
    words = draw(sampler, 40)
    assert isinstance(sampler._way, ExactSampler)
    assert len(words) >= 0.98 * 40 * SAMPLE_BATCH_SIZE
    assert all(wanted(word, options) for word in words)
    assert abs(chi_square(words, enumerated(network, vocabulary, options))) < 4


@torch.no_grad()
def test_one_message_for_all_lengths_is_exact_too(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
):
    """The bound from above used as if it were the chance: too many long words, by a few in a hundred."""
    options = SamplingOptions(contains="dc", min_length=2)
    chances = enumerated(network, vocabulary, options)
    monkeypatch.setattr(messages, "_ENOUGH", 1 - 1e-9)
    settled = ConditionalSampler(network, vocabulary, options)._way
    assert isinstance(settled, ExactSampler)
    chances["longer"] = float(settled._guide.worth(0, *settled._guide.start(1))) - sum(chances.values())
    monkeypatch.setattr(messages, "_ENOUGH", 0.1)
    monkeypatch.setattr(messages, "_STRIDE", 1)
    sampler = ConditionalSampler(network, vocabulary, options)
    words = draw(sampler, 30)
    assert isinstance(sampler._way, ExactSampler)
    assert sampler._way._guide.share < 0.7
    assert len(words) < 0.7 * 30 * SAMPLE_BATCH_SIZE
    assert abs(chi_square([word if len(word) <= LONGEST else "longer" for word in words], chances)) < 4


@pytest.mark.parametrize("settings", [{"suffix": "dc"}, {"pattern": "a.*c", "min_length": 4}])
def test_a_bigram_and_counts_are_drawn_exactly(vocabulary: Vocabulary, settings: dict[str, Any]):
    """A table that only some networks have, though the others' context is as short."""
    torch.manual_seed(0)
    bigram = Bigram(len(vocabulary)).double().eval()
    counts = NGram(len(vocabulary), block_size=2, smoothing=0.5).eval()
    counts.count(torch.randint(0, 5, (300, 2)), torch.randint(0, 5, (300,)))
    for network in (bigram, counts):
        sampler = ConditionalSampler(network, vocabulary, options_of(settings))
        words = draw(sampler, 20)
        assert isinstance(sampler._way, ExactSampler)
        assert abs(chi_square(words, enumerated(network, vocabulary, options_of(settings)))) < 4


def tiny_gru(vocabulary: Vocabulary) -> GRU:
    torch.manual_seed(3)
    result = GRU(len(vocabulary), embed_dim=4, hidden_dim=8).double().eval()
    with torch.no_grad():
        result.output.weight *= 6
    return result


@pytest.mark.parametrize(
    "settings",
    [
        {"suffix": "dc"},
        {"pattern": "a..d*", "temperature": 1.3, "top_p": 0.99},
        {"prefix": "b", "suffix": "a", "contains": "c", "pattern": "*d*", "min_length": 5, "max_length": 6},
    ],
)
def test_a_long_context_is_drawn_closely(vocabulary: Vocabulary, settings: dict[str, Any]):
    """Resampling that forgets a weight, mixes rows of words and states, or lets a wrong word through."""
    network, options = tiny_gru(vocabulary), options_of(settings)
    sampler = ConditionalSampler(network, vocabulary, options)
    with torch.no_grad():
        guide = SumProductMessages(sampler._guiding_table, sampler._condition)
        words = draw(Resampler(network, guide, sampler._condition, options), 100)
    assert len(words) == 1600
    assert all(wanted(word, options) for word in words)
    assert abs(chi_square(words, enumerated(network, vocabulary, options))) < 4


def test_a_guide_that_errs_is_corrected(vocabulary: Vocabulary, network: MLP):
    """Items that follow the guide and not the network: uniform here, while the network is far from it."""
    options = options_of({"suffix": "dc", "max_length": 5})
    condition = Condition(vocabulary, options)
    ignorant = SumProductMessages(torch.full((1, len(vocabulary)), 1 / len(vocabulary), dtype=torch.float64), condition)
    with torch.no_grad():
        words = draw(Resampler(network, ignorant, condition, options), 200)
    chances = enumerated(network, vocabulary, options)
    assert chi_square(words, dict.fromkeys(chances, 1.0)) > 50
    assert abs(chi_square(words, chances)) < 4


def test_what_is_not_rare_is_drawn_by_rejection(vocabulary: Vocabulary):
    """An approximation where the exact way costs little."""
    network = tiny_gru(vocabulary)
    options = SamplingOptions(contains="a", max_length=30)
    free = SamplingOptions(min_length=0, max_length=30)
    plain = [word for block in range(5) for word in Sampler(network, vocabulary, free).sample_batch(block)]
    assert draw(ConditionalSampler(network, vocabulary, options), 5) == [word for word in plain if "a" in word]


def test_without_conditions_words_are_those_of_always(network: MLP, vocabulary: Vocabulary):
    """Other words for a seed since there are conditions."""
    for options in (SamplingOptions(), SamplingOptions(prefix="b", max_length=5, temperature=0.7)):
        sampler, plain = ConditionalSampler(network, vocabulary, options), Sampler(network, vocabulary, options)
        assert draw(sampler, 3) == [word for block in range(3) for word in plain.sample_batch(block)]


@pytest.mark.parametrize("has_table", [True, False])
def test_a_block_depends_on_nothing_but_its_number(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, has_table: bool
):
    """Items that change with how many are asked for, or with what was drawn before."""
    if not has_table:
        monkeypatch.setattr(MLP, "context", None)
    options = options_of({"suffix": "dcc"})
    first = ConditionalSampler(network, vocabulary, options)
    blocks = [first.sample_batch(block) for block in range(3)]
    again = ConditionalSampler(network, vocabulary, options)
    assert [again.sample_batch(block) for block in (2, 0, 1)] == [blocks[i] for i in (2, 0, 1)]
    assert isinstance(first._way, ExactSampler if has_table else Resampler)
    assert blocks[0] != blocks[1]


@pytest.mark.parametrize("settings", ALONE_AND_TOGETHER[:-1])
def test_the_beam_finds_the_most_likely(network: MLP, vocabulary: Vocabulary, settings: dict[str, Any]):
    """An order that is not that of probability, a word missed, or one that should not be there."""
    options = options_of(settings)
    chances = enumerated(network, vocabulary, options)
    expected = sorted(chances, key=lambda word: -chances[word])
    for beam in (20, 100):
        found = ConditionalSampler(network, vocabulary, options_of(settings | {"beam": beam})).sample_batch(0)
        assert found == expected[:beam]


def test_the_beam_of_a_long_context(vocabulary: Vocabulary):
    """States that stay with the wrong words; a wide beam finds what enumeration does."""
    network, settings = tiny_gru(vocabulary), {"suffix": "dc"}
    chances = enumerated(network, vocabulary, options_of(settings))
    found = ConditionalSampler(network, vocabulary, options_of({**settings, "beam": 500})).sample_batch(0)
    assert found[:50] == sorted(chances, key=lambda word: -chances[word])[:50]


def test_the_beam_is_not_drawn_twice(network: MLP, vocabulary: Vocabulary):
    """The same words again and again until there are enough."""
    options = SamplingOptions(num_samples=2, beam=4, max_length=1, only_new=True)
    selection = Selection(options, lambda words: [word > "a" for word in words])
    assert list(selection.batches()) == [0]
    words = ConditionalSampler(network, vocabulary, options).sample_batch(0)
    assert sorted(words) == ["a", "b", "c", "d"]
    assert selection.accept(words) == [word for word in words if word > "a"][:2]
    selection = Selection(SamplingOptions(beam=20), lambda words: [True] * len(words))
    selection.accept(["a"])
    assert "found 1 of 20 words with a beam of 20" in (selection.shortfall() or "")


def test_what_the_model_holds_impossible_is_said():
    """A search without end, or no word and no reason, where counts without smoothing have nothing."""
    vocabulary = Vocabulary("ab")
    network = NGram(len(vocabulary), block_size=2, smoothing=0).eval()
    network.count(torch.tensor([[0, 0], [0, 1], [1, 2]]), torch.tensor([1, 2, 0]))  # .. -> a, .a -> b, ab -> .
    assert (
        ConditionalSampler(network, vocabulary, SamplingOptions(suffix="b")).sample_batch(0)
        == ["ab"] * SAMPLE_BATCH_SIZE
    )
    for options in (SamplingOptions(suffix="a"), SamplingOptions(min_length=3), SamplingOptions(suffix="a", beam=20)):
        with pytest.raises(ValueError, match="has a probability above 0 for this model"):
            ConditionalSampler(network, vocabulary, options).sample_batch(0)


@pytest.fixture
def tokens() -> WordVocabulary:
    return WordVocabulary(["<unk>", "the", "old", "dog", "."])


def test_conditions_on_sentences(tokens: WordVocabulary):
    """Characters matched where words are meant, a dot that is a word, or <unk> drawn."""
    condition = Condition(tokens, SamplingOptions(pattern="the . dog *", contains="dog", suffix="."))
    assert condition.holds(["the old dog .", "the dog .", "the old dog the .", "the old dog"]) == [
        True, False, True, False,
    ]  # fmt: skip
    assert Condition(tokens, SamplingOptions(pattern=r"the \.")).holds(["the .", "the dog"]) == [True, False]
    torch.manual_seed(0)
    network = Bigram(len(tokens)).eval()
    words = ConditionalSampler(network, tokens, SamplingOptions(pattern=". old . dog")).sample_batch(0)
    assert {len(word.split()) for word in words} == {4}
    assert all(re.fullmatch(r"\S+ old \S+ dog", word) for word in words)
    assert not any("<unk>" in word for word in words)
    with pytest.raises(ValueError, match=r"sampling\.contains is 'cat': 'cat' is not among the model's words"):
        Condition(tokens, SamplingOptions(contains="cat"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"suffix": "az"}, "sampling.suffix is 'az': not in the model's alphabet: 'z'"),
        ({"contains": "."}, "sampling.contains is '.': not in the model's alphabet"),
        ({"pattern": "a\\"}, "a backslash at the end"),
        ({"pattern": "...", "max_length": 2}, "sampling.pattern '...' and sampling.max_length 2 together"),
        ({"suffix": "abcd", "max_length": 3}, "sampling.suffix 'abcd' and sampling.max_length 3 together"),
        ({"pattern": "..", "min_length": 3}, "sampling.pattern '..' and sampling.min_length 3 together"),
        ({"prefix": "ab", "pattern": "a.c", "suffix": "c", "contains": "d"}, "'ab' and .*contains 'd' and .* 'a.c'"),
        ({"prefix": "b", "pattern": "a*"}, "sampling.prefix 'b' and sampling.pattern 'a[*]' together"),
    ],
)
def test_conditions_that_cannot_be_are_errors(vocabulary: Vocabulary, settings: dict[str, Any], message: str):
    """A hundred draws per word for what was hopeless from the start, or blame on a setting that is innocent."""
    with pytest.raises(ValueError, match=message):
        Condition(vocabulary, SamplingOptions(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beam": 19}, r"sampling.beam is 19; it must be at least num_samples \(20\)"),
        ({"beam": 20, "temperature": 0.5}, r"sampling.temperature is 0.5, but sampling.beam \(20\) draws nothing"),
        ({"beam": 20, "top_k": 3}, "sampling.top_k is 3, but sampling.beam"),
        ({"beam": 20, "top_p": 0.5}, "sampling.top_p is 0.5, but sampling.beam"),
    ],
)
def test_a_beam_takes_no_chances(settings: dict[str, Any], message: str):
    """A setting that is ignored without a word."""
    with pytest.raises(ValueError, match=message):
        SamplingOptions(**settings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A folder with a run in it."""
    folder = tmp_path_factory.mktemp("conditions")
    words = (a + b + c for a in "bdk" for b in ("a", "ei", "o") for c in ("n", "lla", "s"))
    (folder / "words.txt").write_text("\n".join(words))
    options = ("--data.path", "words.txt", "--trainer.max_steps", 300, "--trainer.steps_per_execution", 50)
    result = run(*FIT, *options, "--trainer.enable_progress_bar", "false", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def predict(folder, **settings):
    options = [part for name, value in settings.items() for part in (f"--sampling.{name}", value)]
    return run("predict", "--ckpt_path", "last", *options, cwd=folder)


def test_predict_under_conditions(trained):
    """An option that the command line mistakes for YAML, or does not pass on."""
    result = predict(trained, pattern="*l.a", contains="ei", num_samples=30, output="out.csv")
    assert result.returncode == 0, result.stderr
    words = [line.split(",")[0] for line in (trained / "out.csv").read_text().splitlines()[1:]]
    assert len(words) == 30
    assert all(re.fullmatch(".*ei.*l.a|.*l.a", word) and "ei" in word for word in words)
    assert predict(trained, pattern="*", num_samples=2).returncode == 0
    assert {len(word) for word in predict(trained, pattern="..").stdout.split()} == {2}


def test_predict_the_most_likely(trained):
    """Items in another order than that of their NLL."""
    result = predict(trained, beam=25, suffix="a", output="best.csv")
    assert result.returncode == 0, result.stderr
    rows = [line.split(",") for line in (trained / "best.csv").read_text().splitlines()[1:]]
    assert len({row[0] for row in rows}) == 20
    nll = [float(row[1]) for row in rows]
    assert nll == sorted(nll)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"suffix": "é"}, "sampling.suffix is 'é': not in the model's alphabet: 'é'"),
        ({"pattern": ".....", "max_length": 4}, "no word can have sampling.pattern '.....' and sampling.max_length 4"),
        ({"beam": 5}, "sampling.beam is 5; it must be at least num_samples (20)"),
        ({"beam": 50, "top_k": 2}, "sampling.top_k is 2, but sampling.beam (50) draws nothing"),
        ({"suffix": "n", "temperature": 0, "contains": "kk"}, "has a probability above 0 for this model"),
        ({"pattern": "k..n", "unique": "true", "num_samples": 1000}, "words in 100352 draws"),
    ],
)
def test_mistakes_are_one_line(trained, settings, message):
    """Catches a traceback, and words that are missing without a word."""
    result = predict(trained, **settings)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
