"""Laws that hold for every network, and what each is known to reach."""

import math
import random
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import nn

from mm_lightning.data.encoding import IGNORE, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import BOUNDARY, Vocabulary
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import GRU, LSTM, MLP, RNN, BagOfWords, Bigram, KneserNey, NGram, Transformer, WaveNet
from mm_lightning.networks.base import CountedNetwork, Network, WindowNetwork
from mm_lightning.networks.recurrent import RecurrentNetwork
from mm_lightning.networks.transformer import Attention

EIGHT = ["emma", "ella", "eva", "ava", "mia", "amelia", "evelyn", "abigail"]
ALPHABET = "".join(sorted(set("".join(EIGHT))))
V = len(ALPHABET) + 1

NETWORKS: dict[str, Callable[[], Network]] = {
    "MLP, context 1": lambda: MLP(V, block_size=1, embed_dim=6, hidden_dim=48),
    "MLP, context 3": lambda: MLP(V, block_size=3, embed_dim=6, hidden_dim=48),
    "MLP, context 8": lambda: MLP(V, block_size=8, embed_dim=6, hidden_dim=48),
    "MLP, deep": lambda: MLP(V, 3, 6, 48, num_layers=2, activation="gelu", embed_dropout=0.01, dropout=0.01),
    "MLP, normalised": lambda: MLP(V, 3, 6, 48, num_layers=2, batch_norm=True),
    "WaveNet, context 2": lambda: WaveNet(V, block_size=2, embed_dim=6, hidden_dim=32),
    "WaveNet, context 8": lambda: WaveNet(V, block_size=8, embed_dim=6, hidden_dim=32),
    "Bigram": lambda: Bigram(V),
    "BagOfWords": lambda: BagOfWords(V, embed_dim=32, hidden_dim=64, num_positions=5),
    "RNN": lambda: RNN(V, embed_dim=16, hidden_dim=32),
    "GRU": lambda: GRU(V, embed_dim=16, hidden_dim=32, num_layers=2),
    "LSTM": lambda: LSTM(V, embed_dim=16, hidden_dim=32),
    "Transformer": lambda: Transformer(V, embed_dim=32, num_layers=2, num_heads=2, num_positions=5),
    "NGram, context 1": lambda: counted(NGram(V, block_size=1)),
    "NGram, context 3": lambda: counted(NGram(V, block_size=3, smoothing=0.5)),
    "KneserNey, context 1": lambda: counted(KneserNey(V, block_size=1)),
    "KneserNey, context 4": lambda: counted(KneserNey(V, block_size=4)),
}


def counted(network: CountedNetwork) -> Network:
    """A network that has counted the eight words, and words of random characters so that every pair occurs."""
    strings = ["".join(random.Random(i).choices(ALPHABET, k=9)) for i in range(300)]
    network.count(*training_examples(network, EIGHT + strings))
    return network


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
    words = encode(Items.of(strings), Vocabulary(ALPHABET))
    examples = Windows(words, network.block_size) if isinstance(network, WindowNetwork) else PaddedItems(words)
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
    assert network.sequence_logits(ids).shape == (4, 6, V)
    assert network.next_logits(ids).shape == (4, V)


@torch.no_grad()
def test_causality(network: Network):
    """A network that looks at what it shall predict: its loss would be a lie."""
    ids = random_ids(5, 12)
    logits = network.sequence_logits(ids)
    for t in range(11):
        changed = ids.clone()
        changed[:, t + 1 :] = ids[:, t + 1 :] % (V - 1) + 1  # every later id becomes another one
        torch.testing.assert_close(network.sequence_logits(changed)[:, : t + 1], logits[:, : t + 1])


@torch.no_grad()
def test_the_newest_character_counts(network: Network):
    """A shift by one the other way: causal, but blind to the last character."""
    ids = random_ids(5, 12)
    for t in range(1, 12):
        changed = ids.clone()
        changed[:, t] = ids[:, t] % (V - 1) + 1
        difference = (network.sequence_logits(changed) - network.sequence_logits(ids))[:, t].abs().amax(1)
        assert (difference > 1e-4).any() if isinstance(network, CountedNetwork) else (difference > 1e-4).all()


@torch.no_grad()
def test_next_logits_are_the_last_of_word_logits(network: Network):
    """Sampling from another model than the one that was scored, at the start of a word or beyond the context."""
    ids = random_ids(5, 12)
    for length in range(1, 13):
        prefix = ids[:, :length]
        torch.testing.assert_close(network.next_logits(prefix), network.sequence_logits(prefix)[:, -1])


@torch.no_grad()
def test_reading_on_equals_reading_again(network: Network):
    """A state that is not advanced, advanced twice, or mixed up between words when some of them end."""
    ids = random_ids(5, 12)
    expected = network.sequence_logits(ids)
    logits, state = network.advance(ids[:, :2], ())
    torch.testing.assert_close(logits, expected[:, 1])
    kept = torch.arange(5)
    for t, length in ((2, 1), (3, 2), (5, 1), (6, 3), (9, 1), (10, 1), (11, 1)):
        still = torch.arange(len(kept)) != t % len(kept) if len(kept) > 2 else torch.ones(len(kept), dtype=torch.bool)
        kept, state = kept[still], tuple(part[still] for part in state)
        logits, state = network.advance(ids[kept, t : t + length], state)
        torch.testing.assert_close(logits, expected[kept, t + length - 1])


@torch.no_grad()
def test_batches_of_words_do_not_mix(network: Network):
    """Statistics over the batch when scoring: a word's loss would hang on its neighbours, and on padding."""
    ids = random_ids(5, 12)
    logits = network.sequence_logits(ids)
    for word, expected in zip(ids, logits, strict=True):
        torch.testing.assert_close(network.sequence_logits(word[None])[0], expected)


@torch.no_grad()
def test_training_and_scoring_see_the_same(network: Network):
    """Windows in training that differ from those in scoring, where words begin or end."""
    x, y = training_examples(network, EIGHT)
    padded_x, padded_y = PaddedItems(encode(Items.of(EIGHT), Vocabulary(ALPHABET))).gather(torch.arange(8))
    assert torch.equal(y[y != IGNORE], padded_y[padded_y != IGNORE])
    torch.testing.assert_close(network(x)[y != IGNORE], network.sequence_logits(padded_x)[padded_y != IGNORE])


def test_eight_words_are_learnt_to_their_entropy(network: Network):
    """A part that gets no gradient, or a target out of place: the loss stops above what counting reaches."""
    if isinstance(network, CountedNetwork):
        pytest.skip("counts by itself; see test_counting")
    x, y = training_examples(network, EIGHT)
    lr = 0.1 if isinstance(network, Bigram) else 0.02  # what never follows must fall far by this alone
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0)
    network.train()
    for _ in range(400):
        optimizer.zero_grad()
        cross_entropy(network(x), y).backward()
        optimizer.step()
    network.eval()
    loss = float(cross_entropy(network(x), y).detach())
    floor = context_entropy(EIGHT, 1 if isinstance(network, Bigram) else getattr(network, "block_size", None))
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
    table, w1, b1 = mlp.embedding.weight, mlp.hidden[0].weight.T, mlp.hidden[0].bias
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


@pytest.mark.parametrize("block_size", [1, 6, 12])
def test_a_tree_needs_pairs(block_size: int):
    """A window whose last places are dropped because they have no partner."""
    with pytest.raises(ValueError, match=f"block_size is {block_size}; .* power of 2"):
        WaveNet(V, block_size=block_size)


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        pytest.param(WaveNet(27, 8, 10, 68), 22_397, id="WaveNet 22K"),
        pytest.param(WaveNet(27, 8, 24, 128), 76_579, id="WaveNet 76K"),
        pytest.param(MLP(27, 8, 10, 200), 21_897, id="flat MLP 22K"),
        pytest.param(Transformer(27, 64, 4, 4, num_positions=16), 204_544, id="makemore's Transformer"),
        pytest.param(Bigram(27), 729, id="bigram"),
    ],
)
def test_published_numbers_of_parameters(network: Network, expected: int):
    """A layer too many, or a bias that the published network has not."""
    assert sum(p.numel() for p in network.parameters()) == expected


def test_attention_against_a_plain_loop():
    """Heads cut along the wrong dimension, or a scale left out."""
    torch.manual_seed(0)
    attention = Attention(embed_dim=6, num_heads=2)
    x = torch.randn(1, 4, 6)
    query, key, value = attention.project_in(x)[0].chunk(3, dim=1)
    rows = []
    for t in range(4):
        heads = []
        for part in (slice(0, 3), slice(3, 6)):
            weights = (key[: t + 1, part] @ query[t, part] / 3**0.5).softmax(0)
            heads.append(weights @ value[: t + 1, part])
        rows.append(torch.cat(heads))
    torch.testing.assert_close(attention(x, ())[0][0], attention.project_out(torch.stack(rows)))


@pytest.mark.parametrize(("ours", "theirs"), [(GRU, nn.GRUCell), (LSTM, nn.LSTMCell), (RNN, nn.RNNCell)])
def test_recurrence_against_torchs_cell(ours: type[RecurrentNetwork], theirs: type[nn.RNNCellBase]):
    """A state that starts elsewhere than at zero, or outputs of another time."""
    torch.manual_seed(0)
    network = ours(V, embed_dim=4, hidden_dim=5)
    cell = theirs(4, 5)
    cell.load_state_dict({key.removesuffix("_l0"): value for key, value in network.recurrence.state_dict().items()})
    ids, state = random_ids(3, 7), None
    for t in range(7):
        state = cell(network.embedding(ids[:, t]), state)
        hidden = state[0] if isinstance(state, tuple) else state
        torch.testing.assert_close(network.sequence_logits(ids)[:, t], network.output(hidden))


@pytest.mark.parametrize("kind", [GRU, LSTM, RNN])
def test_equations_for_the_compiler_are_torchs_kernels(kind: type[RecurrentNetwork], monkeypatch: pytest.MonkeyPatch):
    """A compiled run of another model: gates in another order, a layer or a state left out."""
    torch.manual_seed(0)
    network = kind(V, embed_dim=4, hidden_dim=5, num_layers=2).double()
    ids = random_ids(3, 7)
    _, state = network.advance(ids, ())

    def results() -> list[torch.Tensor]:
        logits, after = network.read(ids, tuple(part.detach() for part in state))
        return [logits, *after, *torch.autograd.grad(logits.square().sum(), network.parameters())]

    kernels = results()
    monkeypatch.setattr("torch.compiler.is_compiling", lambda: True)
    monkeypatch.setattr(network.recurrence, "kernel", None)  # which must not be called now
    for ours, torchs in zip(results(), kernels, strict=True):
        torch.testing.assert_close(ours, torchs)


def test_leaving_padding_out_changes_no_place_that_counts():
    """Items mixed up between rows, or places counted from another start, where training leaves padding out."""
    torch.manual_seed(0)
    network = Transformer(V, embed_dim=8, num_heads=2, num_layers=2).double()
    ids = random_ids(5, 7).clamp(min=1)
    ids[:, 0] = BOUNDARY
    for row, length in enumerate((7, 1, 4, 6, 2)):
        ids[row, length:] = BOUNDARY
    used = ids != BOUNDARY
    used[:, 0] = True
    packed, plain = network.train()(ids), network.eval()(ids)
    assert not packed[~used].any()
    torch.testing.assert_close(packed[used], plain[used])
    weights = list(network.parameters())
    grads = [torch.autograd.grad(logits[used].square().sum(), weights) for logits in (packed, plain)]
    for ours, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_dropout_and_batch_statistics_are_for_training_only():
    """Layers that stay in training mode, or none that ever was: two passes tell."""
    x = random_ids(4, 8)
    for make in (
        lambda: MLP(V, 8, dropout=0.5),
        lambda: MLP(V, 8, embed_dropout=0.5),
        lambda: GRU(V, dropout=0.5),
        lambda: Transformer(V, dropout=0.5),
    ):
        network = make()
        assert not torch.equal(network.train()(x), network.train()(x))
        assert torch.equal(network.eval()(x), network.eval()(x))
    normalised = WaveNet(V)
    assert not torch.allclose(normalised.train()(x), normalised.eval()(x))


def test_sizes_that_make_no_network_are_errors():
    """A shape error from deep inside torch."""
    with pytest.raises(ValueError, match="num_layers is 0"):
        MLP(V, num_layers=0)
    with pytest.raises(ValueError, match=r"embed_dim is 10; it must be a multiple of num_heads \(4\)"):
        Transformer(V, embed_dim=10, num_heads=4)


@pytest.mark.parametrize("vocab_size", [5, 40])
def test_ids_projected_once_per_place_give_the_same(monkeypatch: pytest.MonkeyPatch, vocab_size: int):
    """Places or ids mixed up in the table that large batches look their first layer up in, or a bias left out."""
    torch.manual_seed(0)
    network = MLP(vocab_size, block_size=3, embed_dim=16, hidden_dim=7).double()
    count = 8 * vocab_size
    x, y = torch.randint(0, vocab_size, (count, 3)), torch.randint(0, vocab_size, (count,))
    calls = []
    project = network._project
    monkeypatch.setattr(network, "_project", lambda *args: calls.append(1) or project(*args))
    at_once = torch.autograd.grad(torch.nn.functional.cross_entropy(network(x), y), network.parameters())
    assert len(calls) == 1
    logits = torch.cat([network(part) for part in x.split(count // 2)])  # too few windows for the table
    plain = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, y), network.parameters())
    assert len(calls) == 1
    for a, b in zip(at_once, plain, strict=True):
        torch.testing.assert_close(a, b)
