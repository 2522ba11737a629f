"""The condition: contradictions, literal wildcards, sentences and error messages."""

import random
import re
from collections import Counter
from itertools import product
from typing import Any

import pytest
import torch
from enumeration import is_match, random_pattern

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary
from mm_lightning.networks import Bigram
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.strategy import ConditionalSampler


def test_contradictory_conditions_are_an_error():
    """Catches an endless search for an impossible item, and an error for an item that is only long."""
    vocabulary, generator = Vocabulary("ab"), random.Random(1)
    items = ["".join(item) for length in range(9) for item in product("ab", repeat=length)]
    counts: Counter[bool] = Counter()
    for _ in range(300):
        ends = {name: "".join(generator.choices("ab", k=generator.randint(0, 2))) for name in ("prefix", "suffix")}
        bounds = sorted(generator.choices(range(2, 9), k=2))
        pattern = random_pattern(generator, 8)
        options = SamplingOptions(**ends, pattern=pattern, min_length=bounds[0], max_length=bounds[1])
        is_possible = any(is_match(item, options) for item in items)
        counts[is_possible] += 1
        if is_possible:
            Condition(vocabulary, options)
        else:
            with pytest.raises(UserError, match="no item can have sampling"):
                Condition(vocabulary, options)
    assert min(counts[True], counts[False]) > 20


def test_a_backslash_makes_wildcards_literal():
    """Catches a dot, a star or a backslash of the data that no pattern can match."""
    vocabulary = Vocabulary("ab.*\\")
    condition = Condition(vocabulary, SamplingOptions(pattern=r".\.\*\\*", contains=".*"))
    items = [r"a.*\\", "b.*\\a", "a.a*\\", "a.*a", "aa*\\", ".*\\"]
    assert condition.matches(items) == [True, True, False, False, False, False]


def test_conditions_on_sentences():
    """Catches characters matched instead of words, a dot of the data taken for a wildcard, and a sampled <unk>."""
    vocabulary = WordVocabulary(["<unk>", "the", "old", "dog", "."])
    condition = Condition(vocabulary, SamplingOptions(pattern="the . dog *", contains="dog", suffix="."))
    items = ["the old dog .", "the dog .", "the old dog the .", "the old dog"]
    assert condition.matches(items) == [True, False, True, False]
    condition = Condition(vocabulary, SamplingOptions(pattern=r"the \."))
    assert condition.matches(["the .", "the dog"]) == [True, False]
    torch.manual_seed(0)
    network = Bigram(len(vocabulary)).eval()
    items = ConditionalSampler(network, vocabulary, SamplingOptions(pattern=". old . dog")).sample_batch(0)
    assert {len(item.split()) for item in items} == {4}
    assert all(re.fullmatch(r"\S+ old \S+ dog", item) for item in items)
    assert not any("<unk>" in item for item in items)
    with pytest.raises(UserError, match=r"sampling\.contains is 'cat': 'cat' is not among the model's words"):
        Condition(vocabulary, SamplingOptions(contains="cat"))


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
def test_the_error_names_the_conflicting_settings(vocabulary: Vocabulary, settings: dict[str, Any], message: str):
    """Catches a hundred samples per item for an impossible condition, and blame on a setting without conflict."""
    with pytest.raises(UserError, match=message):
        Condition(vocabulary, SamplingOptions(**settings))
