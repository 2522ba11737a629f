"""Parts of mixing that a run of the command does not show."""

from pathlib import Path
from typing import Any

import pytest

from mm_lightning.compare.runs import Run
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.mix.mixing import DevLoss, Member, Mixed, _part, save
from mm_lightning.training import checkpoint


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


def test_a_mixture_names_no_folder(monkeypatch: pytest.MonkeyPatch):
    """Catches the name of a user in the card of a mixture, which is given away."""
    one, two = (Run(f"john/{name}", Path(f"john/{name}"), None, 1, 1, {}, "", "", {}) for name in ("a.ckpt", "b.ckpt"))
    mixed = Mixed([Member(one, 1.0, DevLoss(2.0, None))], DevLoss(1.0, None), [two], None, "")
    saved: list[dict[str, Any]] = []
    monkeypatch.setattr(checkpoint, "load", lambda path: {})
    monkeypatch.setattr(checkpoint, "join", lambda members, weights, geometric: {})
    monkeypatch.setattr(checkpoint, "save", lambda content, path: saved.append(content))
    save(mixed, Path("mixture.ckpt"))
    lines = "\n".join(saved[0][checkpoint.MADE]["lines"])
    assert "john" not in lines
    assert "a.ckpt" in lines
    assert "left out: b.ckpt" in lines
    assert "\n".join(mixed.lines()) == lines.replace("a.ckpt", "john/a.ckpt").replace("b.ckpt", "john/b.ckpt")
