"""The predict command under conditions, as a user runs it."""

import re

import pytest
from run_command import FIT, run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run in it."""
    folder = tmp_path_factory.mktemp("conditions")
    items = (a + b + c for a in "bdk" for b in ("a", "ei", "o") for c in ("n", "lla", "s"))
    (folder / "words.txt").write_text("\n".join(items))
    options = ("--data.path", "words.txt", "--trainer.max_steps", 300, "--trainer.steps_per_execution", 50)
    result = run(*FIT, *options, "--trainer.enable_progress_bar", "false", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


def predict(folder, **settings):
    options = [part for name, value in settings.items() for part in (f"--sampling.{name}", value)]
    return run("predict", "--ckpt_path", "last", *options, cwd=folder)


def test_predict_under_conditions(trained):
    """Catches an option that the command line takes for YAML, or does not pass on."""
    result = predict(trained, pattern="*l.a", contains="ei", num_samples=30, output="out.csv")
    assert result.returncode == 0, result.stderr
    items = [line.split(",")[0] for line in (trained / "out.csv").read_text().splitlines()[1:]]
    assert len(items) == 30
    assert all(re.fullmatch(".*ei.*l.a|.*l.a", item) and "ei" in item for item in items)
    assert predict(trained, pattern="*", num_samples=2).returncode == 0
    assert {len(item) for item in predict(trained, pattern="..").stdout.split()} == {2}


def test_predict_the_most_likely_items(trained):
    """Catches items in another order than that of their NLL."""
    result = predict(trained, beam=25, suffix="a", output="best.csv")
    assert result.returncode == 0, result.stderr
    rows = [line.split(",") for line in (trained / "best.csv").read_text().splitlines()[1:]]
    assert len({row[0] for row in rows}) == 20
    nll = [float(row[1]) for row in rows]
    assert nll == sorted(nll)


def test_predict_without_texts_near_a_word(trained):
    """Catches a list of texts that the command line or YAML reads as something else, and a note on stdout."""
    (trained / "texts.txt").write_text("lla\nxé\n\n")
    (trained / "texts.yaml").write_text('sampling: {exclude: ["@texts.txt", s], near: "bein", num_samples: 5}')
    result = run("predict", "--ckpt_path", "last", "--config", "texts.yaml", cwd=trained)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.split()) == 5
    assert not any("lla" in item or "s" in item for item in result.stdout.split())
    assert "sampling.exclude: 1 of 3 texts cannot occur in this model's items: 'xé'" in result.stderr
    result = predict(trained, exclude="lla,s,ei", near="bEin", edits=2, unique="true", num_samples=2)
    assert result.returncode == 0, result.stderr
    assert all(re.fullmatch("[a-z]*", item) and "ei" not in item for item in result.stdout.split())
    assert "sampling.near is 'bEin': this model's items have no 'E', which costs an edit" in result.stderr


def test_predict_sorted(trained):
    """Catches a format that does not follow the order, and an NLL that differs between stdout and files."""
    by_item = predict(trained, sort="alphabet").stdout.split()
    assert by_item == sorted(predict(trained).stdout.split())
    shown = [line.split("\t") for line in predict(trained, sort="likelihood", show_nll="true").stdout.splitlines()]
    assert sorted(item for item, _ in shown) == by_item
    assert shown == sorted(shown, key=lambda row: (float(row[1]), row[0]))
    for name in ("sorted.txt", "sorted.csv", "sorted.jsonl"):
        result = predict(trained, sort="likelihood", output=name)
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
        text = (trained / name).read_text()
        positions = [re.search(rf"\b{item}\b", text).start() for item, _ in shown]
        assert positions == sorted(positions)
        assert name == "sorted.txt" or all(str(float(nll)) in text for _, nll in shown)


def test_fewer_items_than_requested_are_sorted_too(trained):
    """Catches items that are lost because sampling ends with an error."""
    result = predict(trained, pattern="k..", unique="true", num_samples=500, sort="alphabet")
    assert result.returncode == 1
    assert len(result.stdout.split()) > 3
    assert result.stdout.split() == sorted(result.stdout.split())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"near": "ban", "edits": 0}, "sampling.edits is 0; give int from 1 to 100 or null"),
        ({"near": "ban", "edits": "two"}, "sampling.edits is two; give int from 1 to 100 or null"),
        ({"sort": "nll"}, "sampling.sort is nll; give 'none', 'likelihood', 'length', 'alphabet'"),
        ({"show_nll": "3"}, "sampling.show_nll is 3; give bool"),
    ],
)
def test_a_value_out_of_range_is_refused(trained, settings, message):
    """Catches a page of usage."""
    result = predict(trained, **settings)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.splitlines()[-1] == f"error: {message}"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"suffix": "é"}, "sampling.suffix is 'é': not in the model's alphabet: 'é'"),
        ({"pattern": ".....", "max_length": 4}, "no item can have sampling.pattern '.....' and sampling.max_length 4"),
        ({"beam": 5}, "sampling.beam is 5; it must be at least num_samples (20)"),
        ({"beam": 50, "top_k": 2}, "sampling.top_k is 2, but sampling.beam (50) takes no samples"),
        ({"edits": 2}, "sampling.edits is 2, but sampling.near names no word; give one or leave edits out"),
        ({"near": "zzzzz", "edits": 1}, "no item can have sampling.near 'zzzzz' with sampling.edits 1; change it"),
        ({"near": "bein", "prefix": "kalla"}, "sampling.prefix 'kalla' and sampling.near 'bein' with sampling.edits 2"),
        ({"exclude": "a,b,s", "suffix": "ass"}, "sampling.suffix 'ass' and sampling.exclude 'a' together"),
        ({"exclude": "a,,b"}, "sampling.exclude has an empty text, which occurs in every item; leave it out"),
        ({"exclude": "@no.txt"}, "sampling.exclude is '@no.txt', a file of texts: no.txt: no such file"),
        ({"exclude": "@."}, "sampling.exclude is '@.', a file of texts: . is a folder"),
        ({"suffix": "n", "temperature": 0, "contains": "kk"}, "has a probability above 0 for this model"),
        ({"pattern": "k..n", "unique": "true", "num_samples": 1000}, "items in 100352 samples"),
    ],
)
def test_mistakes_are_one_line(trained, settings, message):
    """Catches a traceback, and missing items without a message."""
    result = predict(trained, **settings)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
    assert (result.stdout == "") == (not message.startswith("items in"))  # items found are written
