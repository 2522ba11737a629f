"""The rules that options set: lists and files of excluded texts, words near, notes and mistakes."""

from pathlib import Path

import pytest

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary
from mm_lightning.sampling.conditions import rules
from mm_lightning.sampling.conditions.condition import Condition
from mm_lightning.sampling.options import SamplingOptions


@pytest.fixture(autouse=True)
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notes that are printed."""
    result: list[str] = []
    monkeypatch.setattr(rules._notes, "info", result.append)
    return result


def accepted(vocabulary: Vocabulary, items: list[str], **settings) -> list[str]:
    matches = Condition(vocabulary, SamplingOptions(**settings)).matches(items)
    return [item for item, is_met in zip(items, matches, strict=True) if is_met]


def test_excluded_texts_come_from_a_line_a_list_and_files(vocabulary: Vocabulary, tmp_path: Path, notes: list[str]):
    """Catches a spelling of the option that excludes nothing, or another text."""
    items = ["abba", "acca", "adda", "bbb"]
    file = tmp_path / "texts.txt"
    file.write_text("\nbb\r\n  dd \n", encoding="utf-8")
    assert accepted(vocabulary, items, exclude="cc, bb") == ["adda"]
    assert accepted(vocabulary, items, exclude=["cc", "bb"]) == ["adda"]
    assert accepted(vocabulary, items, exclude=f"@{file}") == ["acca"]
    assert accepted(vocabulary, items, exclude=[f"@{file}", "cc"]) == []
    assert accepted(vocabulary, items, exclude="") == accepted(vocabulary, items, exclude=[]) == items
    assert notes == []
    assert accepted(Vocabulary("a,@ "), ["a,a", "a@a", "a a"], exclude=[",", " "]) == ["a@a"]
    assert accepted(Vocabulary("a,@ "), ["a,a", "a@a", "a a"], exclude="@") == ["a,a", "a a"]


def test_texts_that_cannot_occur_are_noted(vocabulary: Vocabulary, notes: list[str]):
    """Catches a long list of bad words refused for one character, and a misspelt text that is dropped in silence."""
    assert accepted(vocabulary, ["abba", "acca"], exclude="cc,aé,x,ß,ø") == ["abba"]
    assert accepted(vocabulary, ["abba", "acca"], exclude="é") == ["abba", "acca"]
    assert notes == [
        "sampling.exclude: 4 of 5 texts cannot occur in this model's items: 'aé', 'x', 'ß' and 1 more",
        "sampling.exclude: the text cannot occur in this model's items: 'é'",
    ]


def test_rules_on_sentences_count_words(notes: list[str]):
    """Catches characters of words excluded or edited, and <unk> taken for a word."""
    vocabulary = WordVocabulary(["<unk>", "the", "old", "dog", "do"])
    items = ["the old dog", "the dog", "old dog the", "do the dog", "dog"]
    assert accepted(vocabulary, items, exclude="the dog,cat,do <unk>") == ["the old dog", "old dog the", "dog"]
    assert accepted(vocabulary, items, near="the old cat", edits=1) == ["the old dog"]
    assert accepted(vocabulary, items, near="the dog", edits=1) == ["the old dog", "the dog", "do the dog", "dog"]
    assert len(notes) == 2


def test_unknown_characters_of_a_word_cost_edits(vocabulary: Vocabulary, notes: list[str]):
    """Catches a refused word, though items near it exist, and edits that are used up without a word."""
    assert accepted(vocabulary, ["ab", "abc", "b", "dcb"], near="éb", edits=1) == ["ab", "b"]
    assert notes == ["sampling.near is 'éb': this model's items have no 'é', which costs an edit"]
    with pytest.raises(UserError, match=r"no item can have sampling\.near 'éßø' with sampling\.edits 2; change it"):
        Condition(vocabulary, SamplingOptions(near="éßø"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"exclude": "ab,,cd"}, "sampling.exclude has an empty text, which occurs in every item"),
        ({"exclude": "@missing.txt"}, "sampling.exclude is '@missing.txt', a file of texts: missing.txt: no such file"),
        (
            {"exclude": "a,b,c,d"},
            "no item can have sampling.exclude 'a', 'b', 'c' and 1 more and sampling.min_length 1",
        ),
        ({"exclude": "dd,bc,cc,aa", "prefix": "abca"}, "sampling.prefix 'abca' and sampling.exclude 'bc' together"),
        (
            {"exclude": "b", "near": "bbb"},
            "sampling.exclude 'b' and sampling.near 'bbb' with sampling.edits 2 together",
        ),
        (
            {"near": "abc", "edits": 1, "min_length": 5},
            "'abc' with sampling.edits 1 and sampling.min_length 5 together",
        ),
        ({"near": "aaaa", "suffix": "bcd"}, "sampling.suffix 'bcd' and sampling.near 'aaaa' with sampling.edits 2"),
    ],
)
def test_the_error_names_the_conflicting_settings(vocabulary: Vocabulary, settings: dict[str, str], message: str):
    """Catches a long list of texts blamed for one of them, and an endless search for an impossible item."""
    with pytest.raises(UserError) as error:
        Condition(vocabulary, SamplingOptions(**settings))  # type: ignore[arg-type]
    assert message in str(error.value)
