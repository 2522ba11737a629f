"""The loss and the NLL of items, against the definition written out."""

import math
import random

import pytest
import torch

from mm_lightning.data import batches
from mm_lightning.data.encoding import IGNORE, PaddedItems, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.evaluation.loss import cross_entropy, item_nll, posterior, score
from mm_lightning.networks import MLP


@pytest.fixture
def network(network: MLP) -> MLP:
    return network.float()


def random_strings(count: int) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices("abcd", k=rng.randint(1, 9))) for _ in range(count)]


@torch.no_grad()
def nll_window_by_window(network: MLP, vocabulary: Vocabulary, item: str) -> float:
    """Negative log-likelihood as the lecture sums it: context, softmax, minus log of the target's probability."""
    context, total = [BOUNDARY] * network.block_size, 0.0
    for ix in [*vocabulary.encode_item(item), BOUNDARY]:
        counts = network(torch.tensor([context]))[0].exp()
        total -= math.log(float(counts[ix] / counts.sum()))
        context = [*context[1:], ix]
    return total


@pytest.mark.parametrize("limit", [1, 30, 1 << 14])
def test_nll_of_an_item_is_the_sum_over_its_windows(
    network: MLP, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch, limit: int
):
    """Catches padding in the sum, a missing closing boundary, and results in the order of lengths."""
    monkeypatch.setattr(batches, "_MAX_SCORED_POSITIONS", limit)
    strings = random_strings(40)
    expected = [nll_window_by_window(network, vocabulary, item) for item in strings]
    assert score(network, vocabulary, Items.from_strings(strings)).tolist() == pytest.approx(expected, rel=1e-4)


def test_each_window_is_computed_once(network: MLP, vocabulary: Vocabulary):
    """Catches a validation that computes the same windows again and again, a tenth of the training time."""
    computed: list[tuple[int, ...]] = []
    network.register_forward_pre_hook(lambda _, inputs: computed.extend(map(tuple, inputs[0].tolist())))
    score(network, vocabulary, Items.from_strings(random_strings(40)))
    padded = (f"\0\0\0{item}".translate(str.maketrans("abcd", "\1\2\3\4")) for item in random_strings(40))
    assert set(computed) >= {tuple(map(ord, ids[i : i + 3])) for ids in padded for i in range(len(ids) - 2)}
    assert len(computed) == len(set(computed))


def test_probabilities_of_all_items_sum_to_one(network: MLP, vocabulary: Vocabulary):
    """Catches likelihoods that are no probabilities: those of all items, short and longer, sum to 1."""
    strings = [""]
    for _ in range(4):
        strings += [item + c for item in strings if len(item) == len(strings[-1]) for c in vocabulary.alphabet]
    ended = score(network, vocabulary, Items.from_strings(strings)).double().neg().exp()
    x, y = PaddedItems(encode(Items.from_strings(strings[-256:]), vocabulary)).gather(torch.arange(256))
    with torch.no_grad():
        longer = item_nll(network, x, y.where(y != BOUNDARY, IGNORE)).neg().exp()  # of all items with 4 or more
        four = item_nll(network, x, y).neg().exp()
    assert len(strings) == len(set(strings)) == 1 + 4 + 16 + 64 + 256
    assert float(ended.sum() - four.sum() + longer.sum()) == pytest.approx(1, abs=1e-5)


def test_mean_leaves_padding_out():
    """Catches a mean over padded positions, which lowers the loss of short items."""
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
    """Catches a mean of the items' means instead of a mean over characters."""
    torch.manual_seed(0)
    logits, y = torch.randn(4, 6, 5), torch.randint(5, (4, 6))
    assert torch.equal(cross_entropy(logits, y), cross_entropy(logits.view(24, 5), y.view(24)))


def test_the_sum_is_taken_in_float32():
    """Catches a loss rounded to three digits under mixed precision."""
    torch.manual_seed(0)
    logits, y = torch.randn(64, 27).bfloat16(), torch.randint(27, (64,))
    assert cross_entropy(logits, y).dtype == torch.float32
    assert torch.equal(cross_entropy(logits, y), cross_entropy(logits.float(), y))
    assert cross_entropy(logits.double(), y).dtype == torch.float64


def test_a_uniform_network_scores_the_log_of_its_ids():
    """Catches a wrong base of the logarithm, and an alphabet without its boundary: ln 27 = 3.2958 per character."""
    vocabulary = Vocabulary("abcdefghijklmnopqrstuvwxyz")
    network = MLP(len(vocabulary)).eval()
    torch.nn.init.zeros_(network.output.weight)
    torch.nn.init.zeros_(network.output.bias)
    nll = score(network, vocabulary, Items.from_strings(["emma", "a", "olivia"]))
    assert (nll / torch.tensor([5, 2, 7])).tolist() == pytest.approx([3.2958] * 3, abs=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_networks_of_other_precision_are_scored(network: MLP, vocabulary: Vocabulary, dtype: torch.dtype):
    """Catches torch's error about types after training with another --trainer.precision."""
    expected = score(network, vocabulary, Items.from_strings(["abba", "c"]))
    torch.testing.assert_close(
        score(network.to(dtype), vocabulary, Items.from_strings(["abba", "c"])), expected, rtol=0.1, atol=0
    )


def test_a_character_outside_the_alphabet_is_an_error(network: MLP, vocabulary: Vocabulary):
    """Catches a score for an item that the model cannot encode."""
    with pytest.raises(ValueError, match="not in the model's alphabet: 'z'"):
        score(network, vocabulary, Items.from_strings(["ab", "az"]))


def test_scoring_in_train_mode_is_an_error(network: MLP, vocabulary: Vocabulary):
    """Catches scores with dropout."""
    with pytest.raises(RuntimeError, match=r"train mode.*call eval\(\)"):
        score(network.train(), vocabulary, Items.from_strings(["ab"]))


def test_an_impossible_item_says_nothing_about_its_label():
    """Catches probabilities that are no numbers, of an item that unsmoothed counts give no chance."""
    nll, probabilities = posterior(torch.tensor([[torch.inf, torch.inf], [1.0, torch.inf]]), [3, 1])
    assert nll[0] == torch.inf
    assert probabilities.tolist() == [[0.75, 0.25], [1.0, 0.0]]
