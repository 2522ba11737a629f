"""Sentences as items and words as tokens, in sampling, scoring and the commands from end to end."""

import json
import re
import subprocess
import sys

import pytest
import torch
from run_command import ROOT, run

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.reading import read_items
from mm_lightning.data.splits import split_items
from mm_lightning.data.vocabulary import BOUNDARY, UNKNOWN, WordVocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.networks import MLP
from mm_lightning.plots import embedding_scatter
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.sampler import Sampler

ALPHABET = [UNKNOWN, "the", "dog", "cat", "sleeps", "שלום", "😀", "."]
NPLM = ("fit", "--config", f"{ROOT}/configs/mlp_sentences.yaml", "--data.path", "text.txt", "--trainer.max_steps", 20)
SENTENCES = [
    f"{a} {n}{s} {v}{'' if s else 's'}"
    for a in ("the", "some", "many")
    for n in ("dog", "cat", "owl", "bear")
    for s in ("", "s")
    for v in ("sleep", "run", "eat", "hide")
]


@pytest.fixture
def network() -> MLP:
    """A network that gives `<unk>` nearly all probability."""
    torch.manual_seed(0)
    result = MLP(len(ALPHABET) + 1, block_size=2, embed_dim=3, hidden_dim=8).eval()
    with torch.no_grad():
        result.output.bias[1] = 50.0
        result.output.bias[BOUNDARY] = 1.0
    return result


@pytest.mark.parametrize("settings", [{}, {"temperature": 0, "max_length": 20}, {"top_k": 1}, {"min_length": 3}])
def test_the_unknown_word_is_never_sampled(network: MLP, settings: dict):
    """Catches `<unk>` in a sample, and min_length or max_length in characters."""
    options = SamplingOptions(**{"max_length": 6} | settings)
    samples = Sampler(network, WordVocabulary(ALPHABET), options).sample_batch(0)
    assert samples or settings.get("temperature") == 0 or settings.get("top_k")
    for sentence in samples:
        assert UNKNOWN not in sentence
        assert options.min_length <= len(sentence.split()) <= options.max_length


def test_a_prefix_is_words(network: MLP):
    """Catches a prefix measured in characters, or rejected for a word unseen in training."""
    vocabulary = WordVocabulary(ALPHABET)
    options = SamplingOptions(prefix="the zebra", min_length=2, max_length=3)
    assert all(s.startswith("the <unk>") for s in Sampler(network, vocabulary, options).sample_batch(0))
    with pytest.raises(ValueError, match=r"sampling.max_length is 2; .* length of the prefix \(3\)"):
        Sampler(network, vocabulary, SamplingOptions(prefix="the dog sleeps", max_length=2)).sample_batch(0)


def test_unknown_words_are_scored_as_the_unknown_word(network: MLP):
    """Catches a likelihood of characters, and an unknown word left out."""
    vocabulary = WordVocabulary(ALPHABET)
    nll = score(network, vocabulary, Items.from_strings(["the zebra sleeps", "the gnu  sleeps", "the dog sleeps", ""]))
    assert nll[0] == nll[1] != nll[2]
    x = torch.tensor([[0, 2, 1, 5]])
    logs = network.sequence_logits(x).log_softmax(-1)[0]
    expected = -float(sum(logs[i, y].detach() for i, y in enumerate([2, 1, 5, 0])))
    assert float(nll[0]) == pytest.approx(expected, rel=1e-5)


def test_only_the_first_labels_are_plotted():
    """Catches a plot with 17,000 words on top of each other, after minutes."""
    figure = embedding_scatter(torch.randn(3000, 4), [str(i) for i in range(3000)])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [str(i) for i in range(100)]
    assert sum(len(c.get_offsets()) for c in axes.collections) == 3000
    assert "the first 100 of 3,000 rows have labels" in axes.get_title()
    assert "labels" not in embedding_scatter(torch.randn(27, 2), list("." * 27)).axes[0].get_title()


def test_the_shipped_sentences_are_those_of_the_grammar():
    """Catches a text edited by hand, and a grammar that no longer prints the text of the published figures."""
    script = [sys.executable, str(ROOT / "data/make_sentences.py")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert printed == (ROOT / "data/sentences.txt").read_text(encoding="utf-8")
    sentences = [line.split() for line in printed.splitlines()]
    assert len(sentences) == 6000
    assert {len(sentence) for sentence in sentences} == set(range(3, 13))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """Folder of a run of 20 steps on sentences, with rare words that become `<unk>`."""
    folder = tmp_path_factory.mktemp("sentences")
    (folder / "text.txt").write_text("\n".join([*SENTENCES, *(f"the 1e{i} sleeps" for i in range(20))]))
    result = run(*NPLM, "--data.max_vocab", 20, "--last.every_n_train_steps", 10, cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "fit.out").write_text(result.stdout)
    return folder


def test_a_checkpoint_of_sentences_carries_its_words(trained):
    """Catches an alphabet that config, checkpoint or console change, and a command that needs the data file."""
    content = torch.load(trained / "lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    alphabet = content["hyper_parameters"]["alphabet"]
    assert len(alphabet) == 19
    assert content["state_dict"]["network.embedding.weight"].shape[0] == 20
    (trained / "text.txt").rename(trained / "text.away")
    sampled = run("predict", "--ckpt_path", "last", "--sampling.prefix", "the  dog", cwd=trained)
    scored = run("score", "--ckpt_path", "last", "the dog sleeps", "the  zebra", "", cwd=trained)
    (trained / "text.away").rename(trained / "text.txt")
    sentences = sampled.stdout.splitlines()
    assert len(sentences) == 20, sampled.stderr
    assert all(sentence.split()[:2] == ["the", "dog"] for sentence in sentences)
    assert {token for sentence in sentences for token in sentence.split()} <= set(alphabet) - {UNKNOWN}
    assert scored.returncode == 0, scored.stderr
    rows = [line.split("\t") for line in scored.stdout.splitlines()]
    assert [row[0] for row in rows] == ["word", "the dog sleeps", "the  zebra", ""]
    for (_, nll, mean), targets in zip(rows[1:], (4, 3, 1), strict=True):
        assert float(mean) == pytest.approx(float(nll) / targets, abs=1e-3)


def test_the_quality_of_sentences_is_counted_in_words(trained):
    """Catches edits or lengths in characters, `<unk>` counted as a training word, and sentences cut at a space."""
    result = run("quality", "--ckpt_path", "last", "--num_samples", 50, "--output", "quality.json", cwd=trained)
    assert result.returncode == 0, result.stderr
    saved = json.loads((trained / "quality.json").read_text(encoding="utf-8"))
    data = ItemsDataModule(str(trained / "text.txt"), tokens="words")
    assert TrainingReference.of(data).max_length == 3
    train = [sentence.split() for sentence in data.splits.train]
    assert saved["nearest"]
    for example in saved["nearest"]:
        sentence, nearest = example["word"].split(), example["nearest"].split()
        assert len(sentence) <= 3
        assert nearest in train
        assert sentence not in train
        assert 1 <= example["edits"] <= 3


def test_samples_of_sentences_can_be_told_apart(trained):
    """Catches samples printed without a separator, and training sentences that are not marked."""
    samples = (trained / "fit.out").read_text().splitlines()[-3].partition("samples ([in training]): ")[2]
    assert len(samples.split(", ")) == 10


def test_validate_and_score_agree(trained):
    """Catches a loss without unknown words, and a mean over characters."""
    dev = list(split_items(read_items(trained / "text.txt"), "lecture", "text.txt").dev)
    validated = run("validate", "--ckpt_path", "last", cwd=trained)
    assert validated.returncode == 0, validated.stderr
    (trained / "dev.txt").write_text("\n".join(dev))
    scored = run("score", "--ckpt_path", "last", "--input", "dev.txt", cwd=trained)
    assert scored.returncode == 0, scored.stderr
    total = sum(float(line.split("\t")[1]) for line in scored.stdout.splitlines()[1:])
    loss = float(re.search(r"val/loss\s+(\d\.\d+)", validated.stdout)[1])
    assert any(token.startswith("1e") for sentence in dev for token in sentence.split())
    assert loss == pytest.approx(total / sum(len(sentence.split()) + 1 for sentence in dev), abs=1e-4)
    assert run("test", "--ckpt_path", "last", cwd=trained).returncode == 0


def test_a_resumed_run_equals_a_whole_one(trained, tmp_path):
    """Catches a vocabulary that is counted again, reordered or lost on resume."""
    (tmp_path / "text.txt").write_text((trained / "text.txt").read_text())
    horizon = ("--model.lr_scheduler.init_args.total_steps", 20)  # that of the whole run
    started = run(*NPLM, *horizon, "--data.max_vocab", 20, "--trainer.max_steps", 10, cwd=tmp_path)
    assert started.returncode == 0, started.stderr
    resumed = run("fit", "--ckpt_path", "last", "--trainer.max_steps", 20, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    last = "lightning_logs/version_0/checkpoints/last.ckpt"
    ours, theirs = (torch.load(folder / last, weights_only=True) for folder in (tmp_path, trained))
    assert ours["global_step"] == theirs["global_step"] == 20
    assert all(torch.equal(ours["state_dict"][key], value) for key, value in theirs["state_dict"].items())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data.max_vocab", 30), "data.max_vocab is 30, but the checkpoint"),
        (("--data.tokens", "characters"), "data.tokens is characters, but the checkpoint"),
        (("--data.alphabet", '["<unk>", "a"]'), "data.alphabet is '2 words', but the checkpoint"),
    ],
)
def test_a_flag_that_the_checkpoint_contradicts_is_an_error(trained, flags, message):
    """Catches a vocabulary option that is ignored."""
    result = run("predict", "--ckpt_path", "last", *flags, cwd=trained)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_brackets_stay_characters(tmp_path):
    """Catches the alphabet `[]` read from the checkpoint as an empty list."""
    (tmp_path / "text.txt").write_text("\n".join("[]" * n + "[" * m + "]" * m for n in range(1, 5) for m in range(5)))
    fit = ("fit", "--config", ROOT / "configs/mlp.yaml", "--data.path", "text.txt", "--trainer.max_steps", 20)
    assert run(*fit, cwd=tmp_path).returncode == 0
    sampled = run("predict", "--ckpt_path", "last", cwd=tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    assert set(sampled.stdout) <= set("[]\n")
    resumed = run("fit", "--ckpt_path", "last", "--trainer.max_steps", 25, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
