"""Batches of items read in parts: the same loss and gradients with less padding."""

import pytest
import torch
from test_block_steps import ADAMW, fit, words_network

from mm_lightning.data.encoding import EncodedItems, PaddedItems
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.networks import GRU, LSTM, RNN, BagOfWords, Transformer
from mm_lightning.training.block_steps import compiled_loop, ragged, traced_block
from mm_lightning.training.block_steps.ragged import PartReader, parts_of, stack

V, BATCH_SIZE = 5, 16


def encoded(num_items, soft=False, labels=False):
    """Items of 1 to 12 ids, most of them short."""
    generator = torch.Generator().manual_seed(1)
    lengths = (torch.rand(num_items, generator=generator) ** 3 * 12).int() + 1
    stream = torch.randint(1, V, (int(lengths.sum()) + num_items,), generator=generator, dtype=torch.uint8)
    stream[(lengths + 1).cumsum(0) - 1] = 0
    return EncodedItems(
        stream,
        lengths,
        V,
        labels=torch.arange(num_items) % 2 if labels else None,
        soft_targets=torch.rand(len(stream), V, generator=generator).half().softmax(1) if soft else None,
    )


def batches(items):
    """All batches of some items."""
    examples = PaddedItems(items)
    xs, ys = zip(*map(examples.gather, torch.arange(len(examples)).split(BATCH_SIZE)), strict=True)
    return xs, ys


def loss_and_gradients(network, logits, y):
    loss = cross_entropy(logits, y)
    return [loss, *torch.autograd.grad(loss, list(network.parameters()))]


@pytest.mark.parametrize("options", [{}, {"soft": True}, {"labels": True}], ids=["hard", "soft", "labels"])
@pytest.mark.parametrize(
    ("kind", "sizes"),
    [(RNN, {"hidden_dim": 6}), (GRU, {"hidden_dim": 6}), (LSTM, {"hidden_dim": 6}), (Transformer, {"num_heads": 2})],
)
def test_parts_give_the_loss_of_the_whole(kind, sizes, options):
    """Catches a state of the wrong rows, a target left out or counted twice, and a mean over another number."""
    items = encoded(640, **options)
    network = kind(V, embed_dim=4, num_layers=2, num_labels=2 if "labels" in options else 0, **sizes).double()
    parts = parts_of(network, items.reach, BATCH_SIZE)
    assert sum(part.rows * (part.stop - part.start) for part in parts) < 0.8 * BATCH_SIZE * len(items.reach)
    xs, ys = batches(items)
    x, y, is_whole = stack(xs, ys, parts)
    assert all(is_whole)
    for i in range(len(x)):
        with traced_block._is_compiling():  # the form of the step that is compiled
            own = loss_and_gradients(network, *PartReader(network, parts)(x[i], y[i]))
        expected = loss_and_gradients(network, network(xs[i]), ys[i])
        torch.testing.assert_close(own, expected)


def test_a_batch_with_too_many_long_items_is_known():
    """Catches ends of items that are cut off without a word."""
    items = encoded(640)
    parts = parts_of(GRU(V), items.reach, BATCH_SIZE)
    order = items.lengths.argsort()
    long, short = map(PaddedItems(items).gather, (order[-BATCH_SIZE:], order[:BATCH_SIZE]))
    _, _, is_whole = stack([long[0], short[0]], [long[1], short[1]], parts)
    assert is_whole == [False, True]


class OwnGRU(GRU):
    """A network that does more than read."""

    def forward(self, x):
        return super().forward(x) * 2


class OwnTransformer(Transformer):
    """Another network that does more than read."""

    def forward(self, x):
        return super().forward(x) * 2


@pytest.mark.parametrize(
    "network",
    [LSTM(V, weight_dropout=0.2), BagOfWords(V), OwnGRU(V), OwnTransformer(V)],
    ids=["DropConnect", "bag of words", "own GRU", "own Transformer"],
)
def test_other_networks_read_a_batch_at_once(network):
    """Catches weights dropped anew within an item, and a `forward` that is passed over."""
    assert parts_of(network, encoded(64).reach, BATCH_SIZE) == [(BATCH_SIZE, 0, 13)]


def test_a_batch_without_room_is_a_step_by_itself(words, monkeypatch):
    """Catches a step left out, done twice, or counted wrongly where compiled steps and others take turns."""
    options = (*words_network("GRU"), *ADAMW, "--data.batch_size", "4")
    alone, curves = fit(words, *options)
    counts = []

    def counted(*args):
        result = ragged.stack(*args)
        counts.extend(result[2])
        return result

    monkeypatch.setattr(ragged, "_MARGIN", -1)
    monkeypatch.setattr("mm_lightning.training.block_steps.stepper.stack", counted)
    monkeypatch.setattr(compiled_loop, "compile_program", lambda exported, key: exported.module())
    monkeypatch.setattr(compiled_loop, "load", lambda key: None)
    mixed, mixed_curves = fit(words, *options, "--trainer.compile", "true", at_once=16)
    assert 5 < sum(counts) < len(counts) - 5
    assert mixed["global_step"] == alone["global_step"]
    for key in ("state_dict", "optimizer_states"):
        torch.testing.assert_close(mixed[key], alone[key], rtol=1e-4, atol=1e-5)
    assert [step for step, _ in mixed_curves["train/loss"]] == [step for step, _ in curves["train/loss"]]
