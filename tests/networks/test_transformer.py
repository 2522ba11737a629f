"""The Transformer: attention against a plain loop, and packing of positions."""

import pytest
import torch
from eight_names import V, random_ids

from mm_lightning.data.vocabulary import BOUNDARY
from mm_lightning.networks import Transformer
from mm_lightning.networks.transformer import Attention


def test_attention_equals_a_plain_loop():
    """Catches heads cut along the wrong dimension, and a missing scale."""
    torch.manual_seed(0)
    attention = Attention(embed_dim=6, num_heads=2)
    x = torch.randn(1, 4, 6)
    query, key, value = attention.project_in(x)[0].chunk(3, dim=1)
    rows = []
    for t in range(4):
        heads = []
        for head in (slice(0, 3), slice(3, 6)):
            weights = (key[: t + 1, head] @ query[t, head] / 3**0.5).softmax(0)
            heads.append(weights @ value[: t + 1, head])
        rows.append(torch.cat(heads))
    torch.testing.assert_close(attention(x, ())[0][0], attention.project_out(torch.stack(rows)))


def test_packing_changes_no_position_that_counts():
    """Catches items mixed up between rows, and positions counted from another start, where padding is left out."""
    torch.manual_seed(0)
    network = Transformer(V, embed_dim=8, num_heads=2, num_layers=2).double()
    ids = random_ids(5, 7).clamp(min=1)
    ids[:, 0] = BOUNDARY
    for row, length in enumerate((7, 1, 4, 6, 2)):
        ids[row, length:] = BOUNDARY
    is_used = ids != BOUNDARY
    is_used[:, 0] = True
    packed, plain = network.train()(ids), network.eval()(ids)
    assert not packed[~is_used].any()
    torch.testing.assert_close(packed[is_used], plain[is_used])
    weights = list(network.parameters())
    grads = [torch.autograd.grad(logits[is_used].square().sum(), weights) for logits in (packed, plain)]
    for ours, expected in zip(*grads, strict=True):
        torch.testing.assert_close(ours, expected)


def test_a_width_that_the_heads_cannot_share_is_an_error():
    """Catches a shape error from deep inside torch."""
    with pytest.raises(ValueError, match=r"embed_dim is 10; it must be a multiple of num_heads \(4\)"):
        Transformer(V, embed_dim=10, num_heads=4)
