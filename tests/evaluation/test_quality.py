"""Measures of drawn words, against cases worked out by hand, and the command and the curves that show them."""

import json
import math
import random
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
from run_command import FIT, ROOT, run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import UNKNOWN, Vocabulary, WordVocabulary
from mm_lightning.evaluation import nearest as nearest_module
from mm_lightning.evaluation.nearest import affordable, nearest
from mm_lightning.evaluation.quality import TrainingItems, share_unique
from mm_lightning.sampling import Sampler, SamplingOptions, sample
from mm_lightning.training.callbacks.samples import _log_quality
from mm_lightning.training.module import LanguageModel

DEV = Items.from_strings(["ab", "bb", "cc", "bb"])
MEASURES = {"valid", "unique", "new", "lengths", "first", "last", "bigrams"}
HEAD = ["words", "valid", "unique", "unique@1k", "unique@10k", "new", "dev_hits", "test_hits"]
HEAD += ["lengths", "first", "last", "bigrams", "edits", "edits_of"]


def training_words(words, vocabulary):
    some = Items.from_strings(words)
    longest = int(vocabulary.encode(some)[1].max())
    return TrainingItems(some, vocabulary, np.sort(some.hashes()), longest)


@pytest.fixture
def training() -> TrainingItems:
    return training_words(["ab", "ab", "ba", "c"], Vocabulary("abc"))


def test_shares_by_hand(training: TrainingItems):
    """A share taken of draws where it is of words, or of words where it is of different words."""
    drawn = Items.from_strings(["ab", "ab", "bb", "aa", "aa", "aa"])
    result = training.quality(drawn, 6 / 8)
    assert result.valid == 6 / 8
    assert result.unique == 3 / 6
    assert result.new == 2 / 3
    assert training.hits(drawn, DEV) == 1 / 2  # bb of bb and cc; ab stands in training
    assert training.hits(drawn, Items.from_strings(["ab", "c"])) is None
    assert [share_unique(drawn, count) for count in (2, 3, 6, 7)] == [1 / 2, 2 / 3, 3 / 6, None]


def test_the_training_words_are_like_themselves(training: TrainingItems):
    """A divergence that is not zero at zero."""
    result = training.quality(Items.from_strings(["ab", "ab", "ba", "c"]), 1.0)
    assert [result.lengths, result.first, result.last, result.bigrams] == pytest.approx([1] * 4)
    assert result.new == 0


def likeness(p, q):
    return pytest.approx(math.exp(-sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))))


def test_likeness_by_hand(training: TrainingItems):
    """The divergence the wrong way round, a boundary left out of the bigrams, or first and last exchanged."""
    result = training.quality(Items.from_strings(["a", "b"]), 1.0)
    assert result.lengths == likeness((2 / 6, 4 / 6), (3 / 4, 1 / 4))  # 1 and 2: counts 1, 3 and 2, 0, each one more
    # pairs .a ab b. .b ba a. .c c. of training against those drawn, each with one more
    p = [n / 19 for n in (3, 3, 3, 2, 2, 2, 2, 2)]
    q = [n / 12 for n in (2, 1, 2, 2, 1, 2, 1, 1)]
    assert result.bigrams == likeness(p, q)
    result = training.quality(Items.from_strings(["aab", "acb"]), 1.0)
    assert result.first == likeness((3 / 7, 2 / 7, 2 / 7), (3 / 5, 1 / 5, 1 / 5))  # a, b, c: 2, 1, 1 and 2, 0, 0
    assert result.last == likeness((2 / 7, 3 / 7, 2 / 7), (1 / 5, 3 / 5, 1 / 5))  # 1, 2, 1 and 0, 2, 0


def test_words_end_to_end_make_no_pairs():
    """The last character of a word and the first of the next taken for neighbours."""
    training = training_words(["ab", "ba"], Vocabulary("ab"))
    assert training.quality(Items.from_strings(["ab", "ba"]), 1.0).bigrams == pytest.approx(1)
    assert training.quality(Items.from_strings(["abba"]), 1.0).bigrams < 0.95


def test_a_token_is_a_word_of_a_sentence():
    """Lengths, neighbours or edits counted in characters where a model writes words."""
    training = training_words(["the dog sleeps", "the dog"], WordVocabulary([UNKNOWN, "the", "dog", "cat", "sleeps"]))
    assert training.longest == 3
    drawn = Items.from_strings(["the cat", "dog dog dog dog", "cat sleeps the"])
    assert list(training.in_time(drawn)) == ["the cat", "cat sleeps the"]
    assert training.distances(drawn).edits.tolist() == [1, 3, 3]
    same = training.quality(Items.from_strings(["dog sleeps the", "the cat"]), 1.0)
    assert same.lengths == pytest.approx(1)
    assert same.first == likeness((3 / 4, 1 / 4), (2 / 4, 2 / 4))  # the and dog: 2, 0 and 1, 1
    assert training.quality(Items.from_strings(["the dog", "the dog sleeps"]), 1.0).bigrams == pytest.approx(1)


def edits(a, b):
    """Levenshtein's distance as it is defined."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def some_words(alphabet, longest, count, seed):
    draw = random.Random(seed)
    return ["".join(draw.choices(alphabet, k=draw.randint(1, longest))) for _ in range(count)]


@pytest.mark.parametrize(
    ("alphabet", "longest"),
    [("ab", 7), ("abcdef", 12), ("abc", 64), ("abcd", 150), ("".join(map(chr, range(500, 700))), 20)],
    ids=["two letters", "short", "one number", "several numbers", "shared buckets"],
)
@pytest.mark.parametrize("borders", [False, True])
def test_the_nearest_equals_a_loop_over_all(alphabet, longest, borders, monkeypatch):
    """A bound that is too high, a carry lost between numbers, a border between blocks of words or pairs."""
    if borders:
        for name, value in {"_ROWS": 3, "_COLUMNS": 7, "_PAIRS": 5}.items():
            monkeypatch.setattr(nearest_module, name, value)
    words = some_words(alphabet, longest, 25, 1)
    known = [*some_words(alphabet + "éß", longest, 25, 2), words[0]]
    distances, places = nearest(Items.from_strings(words), Items.from_strings(known))
    assert distances.tolist() == [min(edits(word, other) for other in known) for word in words]
    assert [edits(word, known[place]) for word, place in zip(words, places, strict=True)] == distances.tolist()


def test_laws_of_the_distance():
    """A distance that depends on the direction, or is not zero for a word and itself only."""
    words = some_words("abc", 70, 30, 3)
    each = [Items.from_strings([word]) for word in words]
    table = np.array([[nearest(a, b)[0][0] for b in each] for a in each])
    assert (table == table.T).all()
    assert ((table == 0) == (np.array(words)[:, None] == np.array(words))).all()
    assert (table[:, :, None] + table[None] >= table[:, None]).all()


def test_distances_of_new_words_only(training: TrainingItems):
    """A repeat or a training word in the mean, or a word set beside another one's nearest."""
    distances = training.distances(Items.from_strings(["ba", "cab", "ab", "cab", "ccc"]))
    assert distances.first(8) == [("cab", "ab", 1), ("ccc", "c", 2)]
    assert len(training.distances(Items.from_strings(["c"])).words) == 0


def test_what_is_affordable():
    """A day's work for long lines, or a mean over nothing."""
    names, lines = Items.from_strings(["abcdefg"] * 25_000), Items.from_strings(["a" * 1000] * 25_000)
    assert affordable(names) > 10_000
    assert affordable(lines) == 20


def table(text):
    """The printed table as a dict of rows, and the examples below it."""
    above, _, below = text.partition("\n\n")
    head, *lines = above.splitlines()
    assert head.split() == HEAD
    rows = {" ".join(cells[: -len(HEAD)]): cells[-len(HEAD) :] for cells in map(str.split, lines)}
    return rows, [line.split() for line in below.splitlines()[1:]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of two epochs on 200 names, nearly all of them twice."""
    folder = tmp_path_factory.mktemp("trained")
    names = (ROOT / "data/names.txt").read_text().splitlines()[:200]
    (folder / "words.txt").write_text("\n".join([*names[2:], *names]), encoding="utf-8")
    options = ("--trainer.max_steps", 100, "--data.batch_size", 64, "--trainer.steps_per_execution", 7)
    result = run(*FIT, "--data.path", "words.txt", *options, cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "fit.out").write_text(result.stdout, encoding="utf-8")
    return folder


def test_the_table(trained):
    """Rows that measure something else than they say, a log line on stdout, or a file with other figures."""
    options = ("--num_samples", 1200, "--output", "quality.json")
    result = run("quality", "--ckpt_path", "last", *options, cwd=trained)
    assert result.returncode == 0, result.stderr
    rows, examples = table(result.stdout)
    assert [*rows] == ["model", "model, first 40", "dev"]
    assert [row[HEAD.index("words")] for row in rows.values()] == ["1,200", "40", "40"]
    assert [row[HEAD.index("unique@1k")] == "-" for row in rows.values()] == [False, True, True]
    assert [row[HEAD.index("dev_hits")] == "-" for row in rows.values()] == [False, False, True]
    assert rows["dev"][1] == "100.0%"
    saved = json.loads((trained / "quality.json").read_text())
    assert (saved["num_samples"], saved["seed"], saved["data"], saved["split"]) == (1200, 42, "words.txt", "lecture")
    assert [row.pop("of") for row in saved["rows"]] == [*rows]
    assert [list(row) for row in saved["rows"]] == [HEAD] * 3
    data = ItemsDataModule(str(trained / "words.txt"), block_size=3)
    dev = TrainingItems.of(data).quality(data.splits.dev, 1.0)
    assert saved["rows"][2]["bigrams"] == dev.bigrams
    assert len(examples) == len(saved["nearest"]) == 8
    train = set(data.splits.train)
    for (word, near, number), example in zip(examples, saved["nearest"], strict=True):
        assert example == {"word": word, "nearest": near, "edits": int(number)}
        assert near in train
        assert edits(word, near) == int(number) == min(edits(word, other) for other in train)
    assert not list(trained.glob(".*"))
    assert len(list((trained / "lightning_logs").iterdir())) == 1


def test_help_says_what_the_columns_mean(tmp_path):
    """A column that nobody can read, or a look at the test split passed over in silence."""
    text = " ".join(run("quality", "--help", cwd=tmp_path).stdout.split())
    assert "a look at the test split" in text
    columns = {name.partition("@")[0] for name in HEAD}
    assert columns <= set(text.partition("Columns: ")[2].partition("The row dev")[0].replace(",", "").split())


def test_a_seed_and_a_temperature_are_heeded(trained):
    """An option that changes nothing, or a second look that gives other figures."""
    texts = [
        run("quality", "--ckpt_path", "last", "--num_samples", 60, *options, cwd=trained).stdout
        for options in ((), ("--seed", 42), ("--seed", 43), ("--temperature", 0))
    ]
    assert texts[0] == texts[1] != texts[2]
    greedy = table(texts[3])[0]["model"]
    assert greedy[HEAD.index("unique")] == "1.7%"  # one word, sixty times


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--num_samples", 0), "--num_samples is 0; it must be at least 1"),
        (("--top_p", 1.5), "--top_p is 1.5; it must be above 0 and at most 1"),
        (("--output", "quality.txt"), "--output is quality.txt; its name must end in .json"),
        (("--output", "no/quality.json"), "--output: no/quality.json cannot be written: No such file or directory"),
        (("--data.path", "gone.txt"), "quality needs the training words (--data.path): gone.txt: no such file"),
        (("--data.path", "greek.txt"), "greek.txt has characters that the model does not know: 'β'"),
        (("--data.path", "other.txt"), "other.txt (split lecture) is not what"),
        (("--data.split", "unique"), "words.txt (split unique) is not what"),
    ],
)
def test_bad_input_is_one_line(trained, options, message):
    """A traceback, a figure without meaning, or a file left half-made."""
    (trained / "greek.txt").write_text("\n".join("βγδεζηθ"))
    (trained / "other.txt").write_text("\n".join((trained / "words.txt").read_text().splitlines()[1:]))
    result = run("quality", "--ckpt_path", "last", *options, cwd=trained)
    assert result.returncode in (1, 2)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert message in result.stderr.splitlines()[-1]
    assert not list(trained.glob("*quality.*.partial"))


def curves(run_folder):
    """Step and value of each point of the curves quality/... of a run."""
    events = EventAccumulator(str(run_folder)).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("quality/")]
    return {tag.removeprefix("quality/"): [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def test_curves_measure_the_words_of_which_the_first_are_shown(trained):
    """Measures of other words, an x axis in epochs, words shown that change with the number measured."""
    run_folder = trained / "lightning_logs/version_0"
    points = curves(run_folder)
    lines = [line for line in (trained / "fit.out").read_text().splitlines() if line.startswith("step ")]
    steps = [int(line.split()[1].rstrip(":")) for line in lines]
    assert points.keys() == MEASURES
    assert all([step for step, _ in each] == steps for each in points.values())
    assert len(steps) > 1
    model = LanguageModel.load_from_checkpoint(run_folder / "checkpoints/last.ckpt", weights_only=True).eval()
    data = ItemsDataModule(str(trained / "words.txt"), block_size=3)
    options = SamplingOptions(num_samples=10, max_length=2 * TrainingItems.of(data).longest)
    in_time = TrainingItems.of(data).in_time(
        Items.from_strings(Sampler(model.network, model.vocabulary, options, 256).sample_batch(0))
    )
    assert 0 < len(in_time) < 256
    expected = asdict(TrainingItems.of(data).quality(in_time, len(in_time) / 256))
    assert {name: each[-1][1] for name, each in points.items()} == pytest.approx(expected, rel=1e-6)
    shown = sample(model.network, model.vocabulary, options, data.is_new, rows=20)
    assert lines[-1].partition("training]): ")[2].replace("[", "").replace("]", "").split() == shown


def test_many_samples_and_none(trained, tmp_path):
    """A crash where fewer words are drawn than are to be shown, or words drawn that nobody wants to see."""
    options = ("--data.path", trained / "words.txt", "--trainer.max_steps", 3)
    for number in (0, 300):
        result = run(*FIT, *options, "--samples.num_samples", number, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        shown = result.stdout.partition("training]): ")[2].split("\n")[0].split()
        assert len(shown) == number
    assert [len(curves(tmp_path / f"lightning_logs/version_{i}")) for i in (0, 1)] == [0, 7]


def test_a_network_whose_words_never_end_has_one_curve(training: TrainingItems):
    """A division by no words in the first epochs of a run."""
    logged = []
    logger = SimpleNamespace(log_metrics=lambda values, step: logged.append((values, step)))
    trainer = SimpleNamespace(loggers=[logger], global_step=7)
    _log_quality(trainer, training, Items.from_strings(["abcabc"]), 256)
    assert logged == [({"quality/valid": 0.0}, 7)]
