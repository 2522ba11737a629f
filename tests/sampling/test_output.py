"""The written items: order, columns and formats."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.output import OutputFormat, Row

ROWS = [Row("b", 2.0, True), Row("abc", 1.5, False), Row("a", 2.0, True), Row("ab", 1.5, True), Row("a", 2.0, True)]


def make_format(vocabulary: Vocabulary, **settings: Any) -> OutputFormat:
    return OutputFormat(SamplingOptions(**settings), vocabulary)


def test_json_has_no_infinity(vocabulary: Vocabulary):
    """Catches a line that is no JSON, for an item that unsmoothed counts give no chance."""
    line = make_format(vocabulary, output=Path("x.jsonl"), show_nll=True).lines([Row("a", float("inf"), None)])
    assert json.loads(line, parse_constant=pytest.fail)["nll"] is None


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("likelihood", ["ab", "abc", "a", "a", "b"]),
        ("length", ["a", "a", "b", "ab", "abc"]),
        ("alphabet", ["a", "a", "ab", "abc", "b"]),
    ],
)
def test_the_order_depends_only_on_the_items(vocabulary: Vocabulary, sort: str, expected: list[str]):
    """Catches ties in the order of sampling, and the least likely or longest item first."""
    for seed in range(5):
        rows = random.Random(seed).sample(ROWS, len(ROWS))
        assert [row.word for row in make_format(vocabulary, sort=sort).ordered(rows)] == expected


def test_the_length_of_a_sentence_is_its_number_of_words():
    """Catches a length in characters in a model of sentences."""
    vocabulary = WordVocabulary(["<unk>", "a", "b", "elephant"])
    rows = [Row("a b", None, None), Row("elephant", None, None)]
    assert make_format(vocabulary, sort="length").ordered(rows) == rows[::-1]


def test_the_nll_is_written_on_demand(vocabulary: Vocabulary):
    """Catches an NLL in the plain output of items, and one computed where nobody reads it."""
    assert make_format(vocabulary).lines(ROWS[:2]) == "b\nabc\n"
    assert not make_format(vocabulary, sort="length").needs_nll
    assert make_format(vocabulary, sort="likelihood").needs_nll
    for output in (None, Path("x.txt")):
        shown = make_format(vocabulary, show_nll=True, output=output)
        assert shown.needs_nll
        assert shown.lines(ROWS[:2]) == "b\t2.0000\nabc\t1.5000\n"


def test_files_have_columns(vocabulary: Vocabulary):
    """Catches a format that cannot be read back."""
    as_csv = make_format(vocabulary, output=Path("x.csv"))
    assert as_csv.needs_nll
    assert (as_csv.header + as_csv.lines(ROWS[:1])).splitlines() == ["word,nll,new", "b,2.0,True"]
    lines = make_format(vocabulary, output=Path("x.jsonl"), show_nll=True).lines(ROWS)
    expected = [{"word": row.word, "nll": row.nll, "new": row.new} for row in ROWS]
    assert [json.loads(line) for line in lines.splitlines()] == expected
    labelled = OutputFormat(SamplingOptions(output=Path("x.csv")), vocabulary, has_labels=True)
    assert (labelled.header + labelled.lines([Row("b", 2.0, True, "F")])).splitlines() == [
        "word,nll,new,label",
        "b,2.0,True,F",
    ]
    with pytest.raises(UserError, match=r"sampling\.output is x\.pdf; its name must end in \.txt, \.csv, \.jsonl"):
        make_format(vocabulary, output=Path("x.pdf"))
