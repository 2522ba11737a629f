"""Sentences as items and words as tokens: the vocabulary's laws, and the commands from end to end."""

import json
import random
import re
import subprocess
import sys

import pytest
import torch
from run_command import ROOT, run

from mm_lightning.data import batches, items
from mm_lightning.data.batches import ItemBatches
from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.encoding import PaddedItems, Windows, encode
from mm_lightning.data.items import Items, read_items
from mm_lightning.data.splits import split_items
from mm_lightning.data.vocabulary import BOUNDARY, UNKNOWN, Vocabulary, WordVocabulary, brief, make_vocabulary
from mm_lightning.evaluation.loss import score
from mm_lightning.evaluation.quality import TrainingItems
from mm_lightning.networks import MLP
from mm_lightning.plots import embedding_scatter
from mm_lightning.sampling import Sampler, SamplingOptions

ALPHABET = [UNKNOWN, "the", "dog", "cat", "sleeps", "שלום", "😀", "."]
NPLM = ("fit", "--config", str(ROOT / "configs/nplm.yaml"), "--data.path", "text.txt", "--trainer.max_steps", 20)
SENTENCES = [
    f"{a} {n}{s} {v}{'' if s else 's'}"
    for a in ("the", "some", "many")
    for n in ("dog", "cat", "owl", "bear")
    for s in ("", "s")
    for v in ("sleep", "run", "eat", "hide")
]


@pytest.fixture(params=[3, 1 << 18])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Tokens hashed at once: few, so that a small test crosses borders, and the real number."""
    monkeypatch.setattr(items, "_CHUNK", request.param)
    return int(request.param)


def random_sentences(count: int, seed: int = 0, spaces: str = " ") -> list[str]:
    """Sentences of known and unknown words, with any white space in any place."""
    draw = random.Random(seed)
    tokens = [*ALPHABET, "thedog", "t", "do", "dogs", "Dog"]
    return [
        "".join(draw.choice([draw.choice(tokens), "".join(draw.choices(spaces, k=2))]) for _ in range(12))
        for _ in range(count)
    ]


def test_tokens_are_what_split_gives(chunk: int):
    """A word joined to the next sentence's first, an empty sentence lost, or white space that we do not know."""
    sentences = ["", *random_sentences(200, spaces=" \t\u00a0\u3000\x1c"), "", "end", ""]
    tokens, counts = Items.of(sentences).tokens()
    assert list(tokens) == [token for sentence in sentences for token in sentence.split()]
    assert counts.tolist() == [len(sentence.split()) for sentence in sentences]


def test_white_space_inside_is_one_space():
    """Sentences counted as new because of a tab or a second space."""
    sentences = ["a", *(" ".join(s.split()).replace(" ", "\t \u3000") for s in random_sentences(50)), "b  c"]
    single = Items.of(sentences).single_spaced()
    assert list(single) == [" ".join(sentence.split()) for sentence in sentences]


def test_ids_equal_a_loop_over_words(chunk: int):
    """An unknown word with the id of its neighbour in the order of hashes, or ids shifted by one."""
    vocabulary, sentences = WordVocabulary(ALPHABET), random_sentences(100)
    expected = [1 + ALPHABET.index(t) if t in ALPHABET else 1 for s in sentences for t in s.split()]
    ids, counts = vocabulary.encode(Items.of(sentences))
    assert ids.tolist() == expected
    assert [vocabulary.encode_item(sentence) for sentence in sentences[:20]] == [
        [1 + ALPHABET.index(t) if t in ALPHABET else 1 for t in s.split()] for s in sentences[:20]
    ]
    assert counts.sum() == len(expected)
    assert len(vocabulary) == 9


def test_known_sentences_survive_the_way_to_ids_and_back():
    """Items joined without a space, or a real dot taken for the boundary."""
    vocabulary = WordVocabulary(ALPHABET)
    assert vocabulary.decode(vocabulary.encode_item("the dog . sleeps 😀 שלום")) == "the dog . sleeps 😀 שלום"
    assert vocabulary.decode(vocabulary.encode_item(" the\tbird  sleeps ")) == "the <unk> sleeps"
    assert vocabulary.decode([]) == ""
    assert vocabulary.symbols() == [".", *ALPHABET]
    assert vocabulary.refused(Items.of(["zebra"])) == []


def test_the_most_frequent_words_are_kept():
    """A cap that leaves the boundary or `<unk>` uncounted, or takes the rarest; a text's own `<unk>` as another."""
    text = ["b a c", "a b", "<unk> <unk> <unk> <unk> a", "d"]
    for max_size in (3, 4, 5, 6, 60, None):
        vocabulary = WordVocabulary.of(Items.of(text), max_size)
        assert vocabulary.alphabet == [UNKNOWN, "a", "b", "c", "d"][: max_size - 1 if max_size else None]
        assert max_size is None or len(vocabulary) <= max_size


def test_words_of_equal_count_stand_in_their_order_of_appearance():
    """Another vocabulary on every run or machine, from an order that hangs on hashes."""
    tokens = [f"w{i}" for i in random.Random(0).sample(range(1000), 300)]
    assert WordVocabulary.of(Items.of([" ".join(tokens)]), 200).alphabet == [UNKNOWN, *tokens[:198]]


@pytest.mark.parametrize(
    ("alphabet", "message"),
    [
        ([], "empty"),
        ([UNKNOWN], "begins with '<unk>' and has at least one word"),
        (["a", "b"], "begins with '<unk>'"),
        ([UNKNOWN, "a", "a"], "repeats"),
        ([UNKNOWN, "a b"], "'a b', which is not one word"),
        ([UNKNOWN, ""], "'', which is not one word"),
    ],
)
def test_a_list_that_is_no_vocabulary_is_an_error(alphabet: list[str], message: str):
    """Ids that no text can ever give, or a network that may write nothing but what it must not."""
    with pytest.raises(ValueError, match=message):
        make_vocabulary(alphabet)


def test_the_kind_of_alphabet_makes_the_kind_of_vocabulary():
    """A checkpoint of sentences read letter by letter."""
    assert make_vocabulary("ab").encode_item("ab") == [1, 2]
    assert make_vocabulary([UNKNOWN, "ab"]).encode_item("ab") == [2]
    assert brief("ab") == "ab"
    assert brief("".join(map(chr, range(256, 1256)))) == "1,000 characters"
    assert brief(ALPHABET) == "8 words"


def test_examples_are_counted_in_words():
    """A stream as long as the characters, or windows that reach into the sentence before."""
    encoded = encode(Items.of(["the dog  sleeps", "a cat"]), WordVocabulary(ALPHABET))
    assert encoded.stream.tolist() == [2, 3, 5, 0, 1, 4, 0]
    assert encoded.starts.tolist() == [0, 4]
    x, y = Windows(encoded, 2).gather(torch.arange(7))
    assert x.tolist() == [[0, 0], [0, 2], [2, 3], [3, 5], [0, 0], [0, 1], [1, 4]]
    assert y.tolist() == [2, 3, 5, 0, 1, 4, 0]
    assert PaddedItems(encoded).gather(torch.tensor([1]))[0].tolist() == [[0, 1, 4]]


def test_logits_scored_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch):
    """A gigabyte of logits in validation with a vocabulary of many thousand words."""
    monkeypatch.setattr(batches, "_SCORED_LOGITS", 900)
    vocabulary = WordVocabulary(ALPHABET)
    loader = ItemBatches(encode(Items.of(random_sentences(300)), vocabulary), torch.arange(300))
    assert max(x.numel() * len(vocabulary) for x, _, _ in loader) <= 900
    assert sum(len(x) for x, _, _ in loader) == 300
    few = ItemBatches(encode(Items.of(["ab"] * 300), Vocabulary("ab")), torch.arange(300))
    assert len(few) == 3  # 900 logits are 100 words of 3 positions and 3 ids


@pytest.fixture
def network() -> MLP:
    """One that would write `<unk>` wherever it may."""
    torch.manual_seed(0)
    result = MLP(len(ALPHABET) + 1, block_size=2, embed_dim=3, hidden_dim=8).eval()
    with torch.no_grad():
        result.output.bias[1] = 50.0
        result.output.bias[BOUNDARY] = 1.0
    return result


@pytest.mark.parametrize("settings", [{}, {"temperature": 0, "max_length": 20}, {"top_k": 1}, {"min_length": 3}])
def test_the_unknown_word_is_never_drawn(network: MLP, settings: dict):
    """A sample that says `<unk>`; min_length and max_length in characters."""
    options = SamplingOptions(**{"max_length": 6} | settings)
    drawn = Sampler(network, WordVocabulary(ALPHABET), options).sample_batch(0)
    assert drawn or settings.get("temperature") == 0 or settings.get("top_k")
    for sentence in drawn:
        assert UNKNOWN not in sentence
        assert options.min_length <= len(sentence.split()) <= options.max_length


def test_a_prefix_is_words(network: MLP):
    """A prefix measured in characters, or refused for a word that training did not have."""
    vocabulary = WordVocabulary(ALPHABET)
    options = SamplingOptions(prefix="the zebra", min_length=2, max_length=3)
    assert all(s.startswith("the <unk>") for s in Sampler(network, vocabulary, options).sample_batch(0))
    with pytest.raises(ValueError, match=r"sampling.max_length is 2; .* length of the prefix \(3\)"):
        Sampler(network, vocabulary, SamplingOptions(prefix="the dog sleeps", max_length=2)).sample_batch(0)


def test_unknown_words_are_scored_as_the_unknown_word(network: MLP):
    """A likelihood of letters, or of a word dropped."""
    vocabulary = WordVocabulary(ALPHABET)
    nll = score(network, vocabulary, Items.of(["the zebra sleeps", "the gnu  sleeps", "the dog sleeps", ""]))
    assert nll[0] == nll[1] != nll[2]
    x = torch.tensor([[0, 2, 1, 5]])
    logs = network.sequence_logits(x).log_softmax(-1)[0]
    expected = -float(sum(logs[i, y].detach() for i, y in enumerate([2, 1, 5, 0])))
    assert float(nll[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_vocab": 100}, "data.max_vocab is 100, but characters are never left out"),
        ({"tokens": "words", "max_vocab": 2}, "data.max_vocab is 2; it must be at least 3"),
        ({"alphabet": [UNKNOWN, "a"]}, "data.alphabet is a list of words, but data.tokens is characters"),
        ({"tokens": "words", "alphabet": "ab"}, "data.alphabet is a string of characters, but data.tokens is words"),
        ({"tokens": "words", "max_vocab": 5, "alphabet": ALPHABET}, "makes 9 ids, but data.max_vocab is 5"),
    ],
)
def test_settings_that_would_be_ignored_are_errors(settings: dict, message: str):
    """A cap or a kind of token that does nothing."""
    with pytest.raises(ValueError, match=re.escape(message)):
        ItemsDataModule(**settings)


def test_the_vocabulary_is_that_of_training(tmp_path):
    """Items of dev or test counted, which would make them known; a repeat missed for its white space."""
    (tmp_path / "text.txt").write_text("\n".join(f"w{i}\tw{i}  x" for i in range(50)))
    data = ItemsDataModule(str(tmp_path / "text.txt"), tokens="words")
    data.setup("fit")
    train = {token for sentence in data.splits.train for token in sentence.split()}
    assert set(data.alphabet) == train | {UNKNOWN}
    assert len(train) == 41
    assert data.train_lengths.tolist() == [3] * 40
    data.block_size = 2
    assert data.targets_per_step == 32  # windows; of whole words, 4 targets each
    data.block_size = None
    assert data.targets_per_step == 32 * 4
    assert data.is_new([data.splits.train[0], data.splits.dev[0]]) == [False, True]


def test_very_many_labels_are_not_drawn():
    """A picture of 17,000 words on top of each other, after minutes."""
    figure = embedding_scatter(torch.randn(3000, 4), [str(i) for i in range(3000)])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == [str(i) for i in range(100)]
    assert sum(len(c.get_offsets()) for c in axes.collections) == 3000
    assert "the first 100 of 3,000 rows have labels" in axes.get_title()
    assert "labels" not in embedding_scatter(torch.randn(27, 2), list("." * 27)).axes[0].get_title()


def test_the_shipped_sentences_are_those_of_the_grammar():
    """A text edited by hand, or a grammar that no longer makes the text on which figures were measured."""
    script = [sys.executable, str(ROOT / "data/make_sentences.py")]
    printed = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert printed == (ROOT / "data/sentences.txt").read_text(encoding="utf-8")
    sentences = [line.split() for line in printed.splitlines()]
    assert len(sentences) == 6000
    assert {len(sentence) for sentence in sentences} == set(range(3, 13))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """A folder with a run of 20 steps on sentences, with rare words that become `<unk>`."""
    folder = tmp_path_factory.mktemp("sentences")
    (folder / "text.txt").write_text("\n".join([*SENTENCES, *(f"the 1e{i} sleeps" for i in range(20))]))
    result = run(*NPLM, "--data.max_vocab", 20, "--last.every_n_train_steps", 10, cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "fit.out").write_text(result.stdout)
    return folder


def test_a_checkpoint_of_sentences_carries_its_words(trained):
    """An alphabet that config, checkpoint or console turn into something else; a need for the data file."""
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
    """Edits or lengths in characters, `<unk>` taken for a word of its own, or sentences cut at a space."""
    result = run("quality", "--ckpt_path", "last", "--num_samples", 50, "--output", "quality.json", cwd=trained)
    assert result.returncode == 0, result.stderr
    saved = json.loads((trained / "quality.json").read_text(encoding="utf-8"))
    data = ItemsDataModule(str(trained / "text.txt"), tokens="words")
    assert TrainingItems.of(data).longest == 3
    train = [sentence.split() for sentence in data.splits.train]
    assert saved["nearest"]
    for example in saved["nearest"]:
        word, near = example["word"].split(), example["nearest"].split()
        assert len(word) <= 3
        assert near in train
        assert word not in train
        assert 1 <= example["edits"] <= 3


def test_samples_of_sentences_can_be_told_apart(trained):
    """A line of samples that reads as one endless sentence, or a repeat of training that is not marked."""
    listed = (trained / "fit.out").read_text().splitlines()[-3].partition("samples ([in training]): ")[2]
    assert len(listed.split(", ")) == 10


def test_validate_and_score_agree(trained):
    """A loss that leaves unknown words out, or a mean over characters."""
    dev = list(split_items(read_items(trained / "text.txt"), "lecture", "text.txt").dev)
    validated = run("validate", "--ckpt_path", "last", cwd=trained)
    assert validated.returncode == 0, validated.stderr
    (trained / "dev.txt").write_text("\n".join(dev))
    scored = run("score", "--ckpt_path", "last", "--input", "dev.txt", cwd=trained)
    assert scored.returncode == 0, scored.stderr
    total = sum(float(line.split("\t")[1]) for line in scored.stdout.splitlines()[1:])
    loss = float(re.search(r"val/loss\s+(\d\.\d+)", validated.stdout)[1])
    assert any(word.startswith("1e") for sentence in dev for word in sentence.split())
    assert loss == pytest.approx(total / sum(len(sentence.split()) + 1 for sentence in dev), abs=1e-4)
    assert run("test", "--ckpt_path", "last", cwd=trained).returncode == 0


def test_a_resumed_run_equals_a_whole_one(trained, tmp_path):
    """A vocabulary counted anew, in another order, or lost."""
    (tmp_path / "text.txt").write_text((trained / "text.txt").read_text())
    cap = ("--data.max_vocab", 20)
    assert run(*NPLM, *cap, "--trainer.max_steps", 10, cwd=tmp_path).returncode == 0
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
    """A vocabulary asked for and not given."""
    result = run("predict", "--ckpt_path", "last", *flags, cwd=trained)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_brackets_stay_characters(tmp_path):
    """The alphabet `[]` read as an empty list on its way out of the checkpoint."""
    (tmp_path / "text.txt").write_text("\n".join("[]" * n + "[" * m + "]" * m for n in range(1, 5) for m in range(5)))
    fit = ("fit", "--config", ROOT / "configs/mlp.yaml", "--data.path", "text.txt", "--trainer.max_steps", 20)
    assert run(*fit, cwd=tmp_path).returncode == 0
    sampled = run("predict", "--ckpt_path", "last", cwd=tmp_path)
    assert sampled.returncode == 0, sampled.stderr
    assert set(sampled.stdout) <= set("[]\n")
    resumed = run("fit", "--ckpt_path", "last", "--trainer.max_steps", 25, cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
