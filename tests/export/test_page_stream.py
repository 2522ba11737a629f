"""The page's random stream against NumPy, and its filter of training items against the one that Python makes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from in_node import in_node

from mm_lightning.data.items import Items
from mm_lightning.export.bloom import BloomFilter, make_filter

NUMBERS = """
import { RandomStream, seedWords } from "./sampling/random_stream.js";
export const answer = (seeds) => seeds.map((seed) => ({
  numbers: Array.from(new RandomStream(seed).doubles(70)),
  words: seedWords(seed, 9),
}));
"""
FOUND = """
import { BloomFilter, hashText } from "./sampling/bloom.js";
export const answer = ({ seen, texts }) => {
  const filter = new BloomFilter({ ...seen, bytes: Uint8Array.from(seen.bytes) });
  return texts.map((text) => ({ found: filter.has(text), hash: hashText(text).toString() }));
};
"""
SEEDS = st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 2**53 - 1), min_size=1, max_size=6)


@settings(max_examples=5, deadline=None)
@given(st.lists(SEEDS, min_size=100, max_size=100))
def test_the_stream_is_that_of_numpy(seeds: list[list[int]]):
    """Catches a carry, a rotation or a word of a large seed that is lost."""
    seeds = [[42, 0], [0], [2**32 - 1, 7], [2**53 - 1, 0, 1], *seeds]
    for seed, answer in zip(seeds, in_node(NUMBERS, seeds), strict=True):
        assert answer["numbers"] == np.random.default_rng(seed).random(70).tolist()
        assert answer["words"] == np.random.SeedSequence(seed).generate_state(9).tolist()


def found(seen: BloomFilter, texts: list[str]) -> list[bool]:
    """Ask the page's filter for each text; its hashes must be those of Python."""
    content = {"bytes": list(seen.content), "numBits": seen.num_bits, "numHashes": seen.num_hashes}
    answers = in_node(FOUND, {"seen": content, "texts": texts})
    assert [int(answer["hash"]) for answer in answers] == Items.from_strings(texts).hashes().tolist()
    return [answer["found"] for answer in answers]


def random_items(seed: int, count: int) -> list[str]:
    """Different items of digits; two seeds share none."""
    numbers = np.random.default_rng(seed).permutation(10 * count)[:count]
    return [f"{seed}-{number}" for number in numbers.tolist()]


@pytest.mark.parametrize("count", [1, 40, 3000, 50_000])
def test_the_filter_has_all_training_items_and_few_others(count: int):
    """Catches a training item that is called new, and more false alarms than the page states."""
    items = random_items(1, count)
    seen = make_filter(Items.from_strings([*items, *items[:100]]))
    assert seen.num_items == count
    assert all(found(seen, items))
    num_false = sum(found(seen, random_items(2, 40_000)))
    expected = 40_000 * seen.error_rate
    assert num_false <= expected + 5 * expected**0.5 + 1
    assert num_false >= expected - 5 * expected**0.5
    assert 0.001 < seen.error_rate < 0.006 if count >= 3000 else seen.error_rate < 0.001


def test_the_filter_knows_any_script():
    """Catches code units in place of code points, which emoji tell apart."""
    items = ["אבי", "👩‍🚀", "</script>", "a b", ""]
    assert found(make_filter(Items.from_strings(items)), [*items, "אב", "👩"]) == [True] * 5 + [False] * 2
