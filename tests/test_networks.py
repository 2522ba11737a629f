"""Laws that hold for every network, and what each is known to reach."""

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
import torch

from mm_lightning.encoding import IGNORE, PaddedWords, Windows, encode
from mm_lightning.networks import MLP
from mm_lightning.networks.base import Network, WindowNetwork
from mm_lightning.scoring import cross_entropy
from mm_lightning.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.words import Words

EIGHT = ["emma", "ella", "eva", "ava", "mia", "amelia", "evelyn", "abigail"]
ALPHABET = "".join(sorted(set("".join(EIGHT))))
V = len(ALPHABET) + 1

NETWORKS: dict[str, Callable[[], Network]] = {
    "MLP, context 1": lambda: MLP(V, block_size=1, embed_dim=6, hidden_dim=48),
    "MLP, context 3": lambda: MLP(V, block_size=3, embed_dim=6, hidden_dim=48),
    "MLP, context 8": lambda: MLP(V, block_size=8, embed_dim=6, hidden_dim=48),
}


@pytest.fixture(params=NETWORKS.values(), ids=NETWORKS.keys())
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return request.param().eval()  # type: ignore[no-any-return]


def random_ids(rows: int, length: int) -> torch.Tensor:
    """Ids (B, T) that begin with a boundary and have no other."""
    ids = torch.randint(1, V, (rows, length), generator=torch.Generator().manual_seed(1))
    ids[:, 0] = BOUNDARY
    return ids


def training_examples(network: Network, strings: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """All examples in the network's own layout."""
    words = encode(Words.of(strings), Vocabulary(ALPHABET))
    examples = Windows(words, network.block_size) if isinstance(network, WindowNetwork) else PaddedWords(words)
    return examples.gather(torch.arange(len(examples)))


def context_entropy(strings: list[str], block_size: int | None) -> float:
    """The least loss per character of a model that sees `block_size` characters, or the whole beginning of a word."""
    pairs = [(word[:i], (word + ".")[i]) for word in strings for i in range(len(word) + 1)]
    if block_size is not None:
        pairs = [(context[-block_size:].rjust(block_size, "."), following) for context, following in pairs]
    both, contexts = Counter(pairs), Counter(context for context, _ in pairs)
    return -sum(math.log(both[pair] / contexts[pair[0]]) for pair in pairs) / len(pairs)


@torch.no_grad()
def test_shapes(network: Network):
    """A transposed or squeezed dimension, which broadcasting would hide in the loss."""
    x, y = training_examples(network, EIGHT)
    ids = random_ids(4, 6)
    assert network(x).shape == (*y.shape, V)
    assert network.word_logits(ids).shape == (4, 6, V)
    assert network.next_logits(ids).shape == (4, V)


@torch.no_grad()
def test_causality(network: Network):
    """A network that looks at what it shall predict: its loss would be a lie."""
    ids = random_ids(5, 12)
    logits = network.word_logits(ids)
    for t in range(11):
        changed = ids.clone()
        changed[:, t + 1 :] = ids[:, t + 1 :] % (V - 1) + 1  # every later id becomes another one
        torch.testing.assert_close(network.word_logits(changed)[:, : t + 1], logits[:, : t + 1])


@torch.no_grad()
def test_the_newest_character_counts(network: Network):
    """A shift by one the other way: causal, but blind to the last character."""
    ids = random_ids(5, 12)
    for t in range(1, 12):
        changed = ids.clone()
        changed[:, t] = ids[:, t] % (V - 1) + 1
        difference = (network.word_logits(changed) - network.word_logits(ids))[:, t].abs().amax(1)
        assert (difference > 1e-4).all()


@torch.no_grad()
def test_next_logits_are_the_last_of_word_logits(network: Network):
    """Sampling from another model than the one that was scored, at the start of a word or beyond the context."""
    ids = random_ids(5, 12)
    for length in range(1, 13):
        prefix = ids[:, :length]
        torch.testing.assert_close(network.next_logits(prefix), network.word_logits(prefix)[:, -1])


@torch.no_grad()
def test_training_and_scoring_see_the_same(network: Network):
    """Windows in training that differ from those in scoring, where words begin or end."""
    x, y = training_examples(network, EIGHT)
    padded_x, padded_y = PaddedWords(encode(Words.of(EIGHT), Vocabulary(ALPHABET))).gather(torch.arange(8))
    assert torch.equal(y[y != IGNORE], padded_y[padded_y != IGNORE])
    torch.testing.assert_close(network(x)[y != IGNORE], network.word_logits(padded_x)[padded_y != IGNORE])


def test_eight_words_are_learnt_to_their_entropy(network: Network):
    """A part that gets no gradient, or a target out of place: the loss stops above what counting reaches."""
    x, y = training_examples(network, EIGHT)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.02, weight_decay=0)
    network.train()
    for _ in range(400):
        optimizer.zero_grad()
        cross_entropy(network(x), y).backward()
        optimizer.step()
    network.eval()
    loss = float(cross_entropy(network(x), y).detach())
    floor = context_entropy(EIGHT, getattr(network, "block_size", None))
    assert floor - 1e-4 < loss < floor + 0.01


def test_context_entropy_by_hand():
    """An oracle that is wrong itself."""
    assert context_entropy(["a"], 1) == 0
    assert context_entropy(["ab", "ac"], 1) == pytest.approx(2 * math.log(2) / 6)  # only b or c after a is open
    assert context_entropy(["aa", "ba"], 1) == pytest.approx((2 * math.log(2) - 2 * math.log(2 / 3) + math.log(3)) / 6)
    assert context_entropy(["aa", "ba"], None) == pytest.approx(2 * math.log(2) / 6)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        pytest.param((27, 3, 10, 200), 11_897, id="the lecture's last"),
        pytest.param((27, 3, 2, 100), 3_481, id="the lecture's first"),
        pytest.param((27, 3, 2, 300), 10_281, id="the lecture's second"),
    ],
)
def test_parameters_of_the_mlp(sizes: tuple[int, int, int, int], expected: int):
    """A bias missing, or a table per place of the window: not the lecture's network."""
    assert sum(p.numel() for p in MLP(*sizes).parameters()) == expected


def test_the_mlp_against_the_lectures_lines():
    """Embeddings concatenated in another order, or another non-linearity."""
    torch.manual_seed(0)
    mlp = MLP(V, block_size=3, embed_dim=2, hidden_dim=5)
    table, w1, b1 = mlp.embedding.weight, mlp.hidden.weight.T, mlp.hidden.bias
    w2, b2 = mlp.output.weight.T, mlp.output.bias
    x = random.Random(0).choices(range(V), k=12)
    ix = torch.tensor(x).view(4, 3)
    expected = torch.tanh(table[ix].view(-1, 6) @ w1 + b1) @ w2 + b2
    torch.testing.assert_close(mlp(ix), expected)


@pytest.mark.parametrize("block_size", [0, -1])
def test_a_window_without_context_is_an_error(block_size: int):
    """A network that predicts from nothing, or fails later with a shape."""
    with pytest.raises(ValueError, match=f"block_size is {block_size}"):
        MLP(V, block_size=block_size)
