"""The quality command: its table, its file, its options and its errors."""

import json

import pytest
from naive import edits
from run_command import run

from mm_lightning.data.datamodule import ItemsDataModule
from mm_lightning.evaluation.quality import TrainingReference

HEAD = ["words", "valid", "unique", "unique@1k", "unique@10k", "new", "dev_hits", "test_hits"]
HEAD += ["lengths", "first", "last", "bigrams", "edits", "edits_of"]


def table(text):
    """The printed table as a dict of rows, and the rows of the table of nearest items below."""
    above, _, below = text.partition("\n\n")
    head, *lines = above.splitlines()
    assert head.split() == HEAD
    rows = {" ".join(cells[: -len(HEAD)]): cells[-len(HEAD) :] for cells in map(str.split, lines)}
    return rows, [line.split() for line in below.splitlines()[1:]]


def test_the_table(names_run):
    """Catches a row of another measure or split, a log line on stdout, and a file with other figures."""
    options = ("--num_samples", 1200, "--output", "quality.json")
    result = run("quality", "--ckpt_path", "last", *options, cwd=names_run)
    assert result.returncode == 0, result.stderr
    rows, neighbours = table(result.stdout)
    assert [*rows] == ["model", "model, first 40", "dev"]
    assert [row[HEAD.index("words")] for row in rows.values()] == ["1,200", "40", "40"]
    assert [row[HEAD.index("unique@1k")] == "-" for row in rows.values()] == [False, True, True]
    assert [row[HEAD.index("dev_hits")] == "-" for row in rows.values()] == [False, False, True]
    assert rows["dev"][1] == "100.0%"
    saved = json.loads((names_run / "quality.json").read_text())
    assert (saved["num_samples"], saved["seed"], saved["data"], saved["split"]) == (1200, 42, "words.txt", "lecture")
    assert [row.pop("of") for row in saved["rows"]] == [*rows]
    assert [list(row) for row in saved["rows"]] == [HEAD] * 3
    data = ItemsDataModule(str(names_run / "words.txt"), block_size=3)
    dev = TrainingReference.of(data).quality(data.splits.dev, 1.0)
    assert saved["rows"][2]["bigrams"] == dev.bigrams
    assert len(neighbours) == len(saved["nearest"]) == 8
    train = set(data.splits.train)
    for (new, near, number), saved_row in zip(neighbours, saved["nearest"], strict=True):
        assert saved_row == {"word": new, "nearest": near, "edits": int(number)}
        assert near in train
        assert edits(new, near) == int(number) == min(edits(new, other) for other in train)
    assert not list(names_run.glob(".*"))
    assert len(list((names_run / "lightning_logs").iterdir())) == 1


def test_help_says_what_the_columns_mean(tmp_path):
    """Catches a column without an explanation, and silence about the look at the test split."""
    text = " ".join(run("quality", "--help", cwd=tmp_path).stdout.split())
    assert "a look at the test split" in text
    columns = {name.partition("@")[0] for name in HEAD}
    assert columns <= set(text.partition("Columns: ")[2].partition("The row dev")[0].replace(",", "").split())


def test_seed_and_temperature_take_effect(names_run):
    """Catches an option without effect, and a second call with other figures."""
    texts = [
        run("quality", "--ckpt_path", "last", "--num_samples", 60, *options, cwd=names_run).stdout
        for options in ((), ("--seed", 42), ("--seed", 43), ("--temperature", 0))
    ]
    assert texts[0] == texts[1] != texts[2]
    greedy = table(texts[3])[0]["model"]
    assert greedy[HEAD.index("unique")] == "1.7%"  # one item, sixty times


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--num_samples", 0), "num_samples is 0; give int from 1 to"),
        (("--top_p", 1.5), "top_p is 1.5; give float in (0, 1]"),
        (("--output", "quality.txt"), "--output is quality.txt; its name must end in .json"),
        (("--output", "no/quality.json"), "--output: no/quality.json cannot be written: No such file or directory"),
        (("--data.path", "gone.txt"), "quality needs the training items (--data.path): gone.txt: no such file"),
        (("--data.path", "greek.txt"), "greek.txt has characters that the model does not know: 'β'"),
        (("--data.path", "other.txt"), "other.txt (split lecture) is not what"),
        (("--data.split", "unique"), "words.txt (split unique) is not what"),
    ],
)
def test_bad_input_is_one_line(names_run, options, message):
    """Catches a traceback, figures of invalid input, and a partial file left behind."""
    (names_run / "greek.txt").write_text("\n".join("βγδεζηθ"))
    (names_run / "other.txt").write_text("\n".join((names_run / "words.txt").read_text().splitlines()[1:]))
    result = run("quality", "--ckpt_path", "last", *options, cwd=names_run)
    assert result.returncode in (1, 2)
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert message in result.stderr.splitlines()[-1]
    assert not list(names_run.glob("*quality.*.partial"))
