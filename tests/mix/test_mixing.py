"""Parts of mixing that a run of the command does not show."""

from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.mix.mixing import DevLoss, Mixed, _part


def test_a_large_vocabulary_is_measured_on_a_part():
    """Catches predictions that take more memory than there is, and a part that nobody is told of."""
    items, vocabulary = Items.from_strings(["ab", "abc", "a"]), Vocabulary("abc")  # 3, 4 and 2 targets
    sizes = [len(_part(items, max_targets, vocabulary)) for max_targets in (0, 6, 7, 8, 9)]
    assert sizes == [1, 1, 2, 2, 3]
    loss = DevLoss(1.0, None)
    assert Mixed([], loss, [], 2, "").lines()[0] == "val/loss of each network, on 2 items, and its weight:"
    assert Mixed([], loss, [], None, "").lines()[0] == "val/loss of each network, and its weight:"


def test_weighted_losses_are_named():
    """Catches losses that are weighted by a column without a word."""
    assert Mixed([], DevLoss(1.0, None), [], 2, "weighted by births").lines() == [
        "val/loss of each network, weighted by births, on 2 items, and its weight:",
        "val/loss of the mixture: 1.0000, weighted by births; the weights are chosen on the same items",
    ]
