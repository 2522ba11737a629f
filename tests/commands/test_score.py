"""The score command: the items that it does not score."""

import pytest

from mm_lightning.commands.score import _refused
from mm_lightning.data.vocabulary import Vocabulary


def test_only_refused_items_are_encoded_one_by_one(vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch):
    """Catches a check that takes longer than the scores."""
    encoded: list[str] = []
    encode_item = Vocabulary.encode_item
    monkeypatch.setattr(Vocabulary, "encode_item", lambda self, item: encoded.append(item) or encode_item(self, item))
    assert _refused(vocabulary, ["abc", "d", ""]) == {}
    assert encoded == []
    refused = _refused(vocabulary, ["abc", "axb", "d", "y"])
    assert refused == {"axb": "not in the model's alphabet: 'x'", "y": "not in the model's alphabet: 'y'"}
    assert encoded == ["axb", "y"]
