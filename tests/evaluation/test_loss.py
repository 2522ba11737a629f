"""The loss, and sums of it, against the definition written out."""

import math
import random

import pytest
import torch

from mm_lightning.data import batches
from mm_lightning.data.encoding import IGNORE, PaddedItems, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.evaluation.loss import cross_entropy, item_nll, score
from mm_lightning.networks import MLP


@pytest.fixture
def network(network: MLP) -> MLP:
    return network.float()


def random_words(count: int) -> list[str]:
    draw = random.Random(0)
    return ["".join(draw.choices("abcd", k=draw.randint(1, 9))) for _ in range(count)]


@torch.no_grad()
def nll_window_by_window(network: MLP, vocabulary: Vocabulary, word: str) -> float:
    """Negative log-likelihood as the lecture sums it: context, softmax, minus log of the target's probability."""
    context, total = [BOUNDARY] * network.block_size, 0.0
    for ix in [*vocabulary.encode_item(word), BOUNDARY]:
        counts = network(torch.tensor([context]))[0].exp()
        total -= math.log(float(counts[ix] / counts.sum()))
        context = [*context[1:], ix]
    return total


@pytest.mark.parametrize("limit", [1, 30, 1 << 14])
def test_nll_of_a_word_is_the_sum_over_its_windows(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, limit: int
):
    """Padding in the sum, a missing closing boundary, or results in the order of lengths, not of words."""
    monkeypatch.setattr(batches, "_SCORED_POSITIONS", limit)
    words = random_words(40)
    expected = [nll_window_by_window(network, vocabulary, word) for word in words]
    assert score(network, vocabulary, Items.of(words)).tolist() == pytest.approx(expected, rel=1e-4)


def test_each_window_is_computed_once(network: MLP, vocabulary: Vocabulary):
    """A validation that takes a tenth of the training, for the same windows over and over."""
    computed: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.extend(map(tuple, inputs[0].tolist())))
    score(network, vocabulary, Items.of(random_words(40)))
    words = (f"\0\0\0{word}".translate(str.maketrans("abcd", "\1\2\3\4")) for word in random_words(40))
    assert set(computed) >= {tuple(map(ord, word[i : i + 3])) for word in words for i in range(len(word) - 2)}
    assert len(computed) == len(set(computed))


def test_windows_are_told_apart_however_many_there_are():
    """Windows numbered in 64 bits: of 1,024 ids and contexts of 12, the first five places would not count."""
    torch.manual_seed(0)
    network = MLP(1024, block_size=12, embed_dim=4, hidden_dim=16).double().eval()
    x = torch.randint(1, 1024, (30, 20))
    x[:, 0], x[0, 1] = BOUNDARY, 1023
    x[1:, 13:] = x[0, 13:]
    logits = network.sequence_logits(x)
    for word, last in ((0, 0), (3, 12), (7, 19), (29, 19)):
        window = torch.nn.functional.pad(x[word, : last + 1], (12, 0))[-12:]
        torch.testing.assert_close(logits[word, last], network(window[None])[0])


def test_probabilities_of_all_words_sum_to_one(network: MLP, vocabulary: Vocabulary):
    """Likelihoods of something else than words: those up to length n and the unended beginnings make up all."""
    words = [""]
    for _ in range(4):
        words += [word + c for word in words if len(word) == len(words[-1]) for c in vocabulary.alphabet]
    ended = score(network, vocabulary, Items.of(words)).double().neg().exp()
    x, y = PaddedItems(encode(Items.of(words[-256:]), vocabulary)).gather(torch.arange(256))
    with torch.no_grad():
        begun = item_nll(network, x, y.where(y != BOUNDARY, IGNORE)).neg().exp()  # all words longer than 3
        four_ended = item_nll(network, x, y).neg().exp()
    assert len(words) == len(set(words)) == 1 + 4 + 16 + 64 + 256
    assert float(ended.sum() - four_ended.sum() + begun.sum()) == pytest.approx(1, abs=1e-5)


def test_mean_leaves_padding_out():
    """A mean over padded positions, which makes short words look good."""
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 5, dtype=torch.float64)
    y = torch.tensor([[1, 4, 0], [2, 0, IGNORE]])
    logs = logits.log_softmax(-1)
    terms = [-logs[0, 0, 1], -logs[0, 1, 4], -logs[0, 2, 0], -logs[1, 0, 2], -logs[1, 1, 0]]
    assert float(cross_entropy(logits, y)) == pytest.approx(float(sum(terms)) / 5)
    padded = logits.clone()
    padded[1, 2] = 1e6
    assert torch.equal(cross_entropy(padded, y), cross_entropy(logits, y))


def test_one_loss_for_both_layouts():
    """A mean of means per word, where the sum over characters is meant."""
    torch.manual_seed(0)
    logits, y = torch.randn(4, 6, 5), torch.randint(5, (4, 6))
    assert torch.equal(cross_entropy(logits, y), cross_entropy(logits.view(24, 5), y.view(24)))


def test_the_sum_is_taken_in_float32():
    """A loss rounded to three digits under mixed precision."""
    torch.manual_seed(0)
    logits, y = torch.randn(64, 27).bfloat16(), torch.randint(27, (64,))
    assert cross_entropy(logits, y).dtype == torch.float32
    assert torch.equal(cross_entropy(logits, y), cross_entropy(logits.float(), y))
    assert cross_entropy(logits.double(), y).dtype == torch.float64


def test_a_uniform_network_scores_the_log_of_its_ids():
    """A wrong base of the logarithm, or an alphabet counted without its boundary: ln 27 = 3.2958 per character."""
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    network = MLP(len(vocabulary)).eval()
    torch.nn.init.zeros_(network.output.weight)
    torch.nn.init.zeros_(network.output.bias)
    nll = score(network, vocabulary, Items.of(["emma", "a", "olivia"]))
    assert (nll / torch.tensor([5, 2, 7])).tolist() == pytest.approx([3.2958] * 3, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_networks_of_other_precision_are_scored(network: MLP, vocabulary: Vocabulary, dtype: torch.dtype):
    """An error of torch's about types after training with another --trainer.precision."""
    expected = score(network, vocabulary, Items.of(["abba", "c"]))
    torch.testing.assert_close(
        score(network.to(dtype), vocabulary, Items.of(["abba", "c"])), expected, rtol=0.1, atol=0
    )


def test_a_character_outside_the_alphabet_is_an_error(network: MLP, vocabulary: Vocabulary):
    """A score for a word that the model cannot know."""
    with pytest.raises(ValueError, match="not in the model's alphabet: 'z'"):
        score(network, vocabulary, Items.of(["ab", "az"]))


def test_a_network_in_training_is_refused(network: MLP, vocabulary: Vocabulary):
    """Dropout left on while scoring."""
    with pytest.raises(AssertionError, match="eval mode"):
        score(network.train(), vocabulary, Items.of(["ab"]))
