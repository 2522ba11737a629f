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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"suffix": "é"}, "sampling.suffix is 'é': not in the model's alphabet: 'é'"),
        ({"pattern": ".....", "max_length": 4}, "no item can have sampling.pattern '.....' and sampling.max_length 4"),
        ({"beam": 5}, "sampling.beam is 5; it must be at least num_samples (20)"),
        ({"beam": 50, "top_k": 2}, "sampling.top_k is 2, but sampling.beam (50) takes no samples"),
        ({"suffix": "n", "temperature": 0, "contains": "kk"}, "has a probability above 0 for this model"),
        ({"pattern": "k..n", "unique": "true", "num_samples": 1000}, "items in 100352 samples"),
    ],
)
def test_mistakes_are_one_line(trained, settings, message):
    """Catches a traceback, and missing items without a message."""
    result = predict(trained, **settings)
    assert result.returncode == 1
    assert message in result.stderr.splitlines()[-1]
