"""Cards: what they say of a model, and what `verify` reads from them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary
from mm_lightning.evaluation.comparison import Comparison
from mm_lightning.export.card import card_text, measures_of, read_card
from mm_lightning.export.facts import Facts, Loss

ROW = dict.fromkeys(
    ("words", "valid", "unique", "unique@1k", "unique@10k", "new", "dev_hits", "test_hits", "lengths"), 0.25
)
QUALITY = Comparison({"model": {**ROW, "words": 10000, "unique@10k": None, "edits": 2.5, "edits_of": 7}}, [])
FACTS = Facts(
    title="names",
    network="MLP",
    num_parameters=11897,
    steps=300,
    seed=42,
    data_name="names.txt",
    data_hash="ab" * 32,
    num_lines=1234,
    split="lecture",
    command="python -m mm_lightning fit --config config.yaml",
    config="seed_everything: 42\n",
    date="2026-11-29",
    losses={"train": Loss(2.1, None, 1000), "dev": Loss(2.2, 2.3, 100)},
    versions={"torch": str(torch.__version__)},
)


def test_a_card_is_read_as_it_was_written():
    """Catches a measure that is lost or rounded away between the two."""
    card = read_card(card_text(FACTS, Vocabulary("abc"), QUALITY), "card.md")
    assert card.data_hash == FACTS.data_hash
    assert card.measures == measures_of(FACTS.losses, QUALITY)
    assert card.measures["dev", "nll_unseen"] == 2.3
    assert ("train", "nll_unseen") not in card.measures
    assert ("samples", "unique@10k") not in card.measures


def test_the_head_is_what_a_hub_reads():
    """Catches a head that a hub refuses: each result names its task, its dataset, and metrics with type and value."""
    head = yaml.safe_load(card_text(FACTS, Vocabulary("abc"), QUALITY).split("---\n")[1])
    assert head["library_name"] == "mm-lightning"
    (entry,) = head["model-index"]
    assert [result["dataset"]["split"] for result in entry["results"]] == ["train", "dev", "samples"]
    for result in entry["results"]:
        assert result["task"]["type"] == "text-generation"
        assert {"name", "type"} <= result["dataset"].keys()
        assert all(metric.keys() == {"type", "value"} for metric in result["metrics"])


def test_the_text_says_what_was_measured():
    """Catches a card that leaves out a loss, the share of copies or the hash, or shows another figure."""
    text = card_text(FACTS, Vocabulary("abc"), QUALITY)
    assert "| dev | 100 | 2.2000 | 2.3000 |" in text
    assert "| train | 1,000 | 2.1000 |  |" in text
    assert "75.0% are training items" in text  # new is 0.25
    assert f"`{FACTS.data_hash}`" in text
    assert "MLP, 11,897 parameters" in text
    assert "```yaml\nseed_everything: 42\n```" in text


def test_weighted_losses_are_named():
    """Catches a table of losses that are weighted by a column without a word."""
    text = card_text(FACTS, Vocabulary("abc"), QUALITY, "weighted by births")
    assert "\nNats per target, weighted by births; the end of an item is a target.\n" in text
    assert "\nNats per target; the end" in card_text(FACTS, Vocabulary("abc"), QUALITY)


@pytest.mark.parametrize(
    ("file", "opener", "verify"),
    [
        (None, "predict --ckpt_path FOLDER", "verify FOLDER"),
        ("a.html", "Open `a.html` in a browser", "verify CARD --ckpt_path CHECKPOINT"),
        ("a.onnx", 'onnxruntime.InferenceSession("a.onnx")', "verify CARD --ckpt_path CHECKPOINT"),
        ("a.pt2", 'torch.export.load("a.pt2")', "verify CARD --ckpt_path CHECKPOINT"),
    ],
)
def test_the_card_opens_what_lies_beside_it(file, opener, verify):
    """Catches the card of a page that names the files of a folder, and a command to verify measures that it lacks."""
    path = None if file is None else Path("out") / file
    text = card_text(FACTS, Vocabulary("abc"), QUALITY, file=path)
    assert opener in text
    assert f"python -m mm_lightning {verify} --data.path names.txt\n" in text
    assert ("model.safetensors" in text) == (file is None)
    assert "out" not in text[text.index("## Use") : text.index("## Data")]
    assert "verify" not in card_text(replace(FACTS, losses={}), Vocabulary("abc"), None, file=path)


def test_a_card_without_data_says_so():
    """Catches figures of nothing, and a card that `verify` takes for one."""
    facts = replace(FACTS, data_hash=None, num_lines=None, losses={})
    text = card_text(facts, Vocabulary("abc"), None)
    assert "Nothing was measured: the data were not at hand." in text
    assert "SHA-256" not in text
    assert "training items." not in text
    with pytest.raises(UserError, match=r"^card.md has no measures to verify"):
        read_card(text, "card.md")


@pytest.mark.parametrize("title", ["a: b", "- x", "<b>*x*</b>", "{}", "שמות", "```", "---"])
def test_a_name_is_text(title):
    """Catches a file name that breaks the YAML head, the Markdown, or the code spans."""
    text = card_text(replace(FACTS, title=title, data_name=f"{title}.txt"), Vocabulary("`\\ .\u2028"), QUALITY)
    assert yaml.safe_load(re.match(r"---\n(.*?)\n---\n", text, re.S)[1])["model-index"][0]["name"] == title
    assert read_card(text, "card.md").measures == measures_of(FACTS.losses, QUALITY)
    assert "<b>" not in text.split("\n---\n", 1)[1].replace("`<b>*x*</b>.txt`", "").replace("'<b>*x*</b>.txt'\n", "")


def test_words_are_an_alphabet():
    """Catches a card of sentences that calls words characters."""
    text = card_text(FACTS, WordVocabulary(["<unk>", "the", "dog"]), QUALITY)
    assert "Alphabet, 3 words: `` <unk>, the, dog ``" in text
    assert "A word outside the alphabet is never made, and is scored as <unk>." in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a",
        "---\n---\n",
        "---\n[\n---\n",
        "---\nmodel-index: 3\n---\n",
        "---\nmodel-index: [{results: [{dataset: {}, metrics: 1}]}]\n---\n",
        "---\nmodel-index: [{results: [{dataset: {split: a}, metrics: [{type: b, value: x}]}]}]\n---\n",
    ],
)
def test_no_card_is_refused(text):
    """Catches a traceback for a file that is no card."""
    with pytest.raises(UserError, match="it is no card"):
        read_card(text, "card.md")
