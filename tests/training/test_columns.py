"""Runs on a table with labels and weights: resumed and in blocks bit for bit, and what they print."""

import json
import math
from pathlib import Path

import pytest
import torch
import yaml
from compare import equal
from run_command import FIT, ROOT, run

from mm_lightning.training.checkpoint import load

WEIGHT = ("--data.weight", "n")
LABEL = ("--data.label", "kind")
COUNTS = ("fit", "--config", ROOT / "configs/ngram.yaml", "--data.item", "word", *LABEL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, words_text: str) -> Path:
    """A folder with a table of words, each with a number and one of three kinds, repeats among them."""
    folder = tmp_path_factory.mktemp("columns")
    rows = [f"{w},{'xyz'[i % 3]},{1 + i * i % 9}" for i, w in enumerate(words_text.splitlines() * 2)]
    (folder / "table.csv").write_text("\n".join(["word,kind,n", *rows[:55]]), encoding="utf-8")
    return folder


def fit(folder: Path, root: Path, *options: object):
    data = ("--data.path", "table.csv", "--data.item", "word", "--data.batch_size", 8)
    done = run(*FIT, *data, "--trainer.default_root_dir", root, *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done


def last(root: Path) -> dict:
    return torch.load(root / "lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)


@pytest.mark.parametrize("columns", [WEIGHT, (*LABEL, *WEIGHT)], ids=["weights", "labels and weights"])
@pytest.mark.parametrize("network", ["MLP", "LSTM"])
def test_resumed_runs_and_blocks_are_single_steps(folder: Path, tmp_path: Path, columns: tuple, network: str):
    """Catches examples of an epoch that depend on where a run began, or on how steps are carried out."""
    options = (*columns, "--model.network", f"mm_lightning.networks.{network}", "--trainer.max_steps")
    fit(folder, tmp_path / "whole", *options, 60)
    fit(folder, tmp_path / "parts", *options, 23)
    done = run(
        *("fit", "--ckpt_path", "last", "--trainer.max_steps", 60, "--trainer.default_root_dir", tmp_path / "parts"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    fit(folder, tmp_path / "blocks", *options, 60, "--trainer.steps_per_execution", 9)
    for kind in ("parts", "blocks"):
        assert equal(last(tmp_path / "whole")["state_dict"], last(tmp_path / kind)["state_dict"]), kind
        assert last(tmp_path / "whole")["data"] == last(tmp_path / kind)["data"]


def test_every_loss_says_how_it_is_weighted(folder: Path, tmp_path: Path):
    """Catches a loss that is read as one in which each item counts once."""
    done = fit(folder, tmp_path, *WEIGHT, "--trainer.max_steps", 20, "--trainer.log_every_n_steps", 5)
    for line in done.stdout.splitlines():
        assert "val/loss" not in line or "weighted by n" in line
    ckpt = ("--ckpt_path", tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt")
    assert "losses weighted by n\n" in run("validate", *ckpt, cwd=folder).stdout
    assert "weighted by n" in run("quality", *ckpt, "--num_samples", 50, cwd=folder).stdout
    other = run("validate", *ckpt, "--data.weight", "null", cwd=folder)
    assert "is not what this checkpoint was trained on" in other.stderr


@pytest.fixture(scope="module")
def labelled(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that counted the table with its labels."""
    root = tmp_path_factory.mktemp("labelled")
    done = run(*COUNTS, "--data.path", folder / "table.csv", "--trainer.default_root_dir", root, cwd=root)
    assert done.returncode == 0, done.stderr
    return root


def columns_of(text: str, separator: str) -> list[list[str]]:
    return [line.split(separator) for line in text.splitlines()]


def test_a_model_with_labels_tells_the_label(labelled: Path):
    """Catches a prior that is left out or counted twice, and rows that do not fit together."""
    plain = run("score", "--ckpt_path", "last", "balla", "kos", cwd=labelled)
    assert plain.returncode == 0, plain.stderr
    head, *rows = columns_of(plain.stdout, "\t")
    assert head == ["word", "nll", "nll_per_char", "label", "probability"]
    counts = load(labelled / "lightning_logs/version_0/checkpoints/last.ckpt")["hyper_parameters"]["labels"]
    assert list(counts) == ["x", "y", "z"]
    assert sum(counts.values()) == 44  # of the train split
    given = {}
    for label in counts:
        done = run("score", "--ckpt_path", "last", "balla", "kos", "--label", label, cwd=labelled)
        head, *own = columns_of(done.stdout, "\t")
        assert head == ["word", "nll", "nll_per_char"]
        given[label] = [float(row[1]) for row in own]
    for i, row in enumerate(rows):
        joint = {label: counts[label] / 44 * math.exp(-given[label][i]) for label in counts}
        best = max(joint, key=joint.__getitem__)
        assert row[3] == best
        assert float(row[4]) == pytest.approx(joint[best] / sum(joint.values()), abs=2e-3)
        assert float(row[1]) == pytest.approx(-math.log(sum(joint.values())), abs=1e-3)


def test_samples_are_written_with_their_labels(labelled: Path):
    """Catches a column of labels that belongs to other items, and an NLL of another label."""
    options = ("--ckpt_path", "last", "--sampling.num_samples", 30)
    done = run("predict", *options, "--sampling.output", "all.csv", cwd=labelled)
    assert done.returncode == 0, done.stderr
    head, *rows = columns_of((labelled / "all.csv").read_text(), ",")
    assert head == ["word", "nll", "new", "label"]
    assert {row[3] for row in rows} == {"x", "y", "z"}
    word, nll, _, label = rows[0]
    scored = run("score", "--ckpt_path", "last", word, "--label", label, cwd=labelled).stdout
    assert float(columns_of(scored, "\t")[1][1]) == pytest.approx(float(nll), abs=1e-3)
    run("predict", *options, "--sampling.label", "y", "--sampling.output", "y.jsonl", cwd=labelled)
    assert {json.loads(line)["label"] for line in (labelled / "y.jsonl").read_text().splitlines()} == {"y"}


def test_validate_has_a_line_per_label(labelled: Path):
    """Catches a loss of a label that is not part of the loss of all, and quality that refuses labels."""
    done = run("test", "--ckpt_path", "last", cwd=labelled)
    assert done.returncode == 0, done.stderr
    for name in ("test/loss", "test/loss_of_label_x", "test/loss_of_label_y", "test/loss_of_label_z"):
        assert f" {name} " in done.stdout
    quality = run("quality", "--ckpt_path", "last", "--num_samples", 60, cwd=labelled)
    assert quality.returncode == 0, quality.stderr


def test_the_label_can_be_the_name_of_the_file(folder: Path, tmp_path: Path):
    """Catches labels by the order of the files, and a checkpoint that forgets where labels come from."""
    for name, vowel in (("girls", "a"), ("boys", "o")):
        words = [f"{a}{vowel}{b}{vowel}" for a in "bdkm" for b in "nls"]
        (tmp_path / f"{name}.txt").write_text("\n".join(words), encoding="utf-8")
    options = ("--data.path", "girls.txt,boys.txt", "--data.label", "file")
    done = run("fit", "--config", ROOT / "configs/ngram.yaml", *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    scored = run("score", "--ckpt_path", "last", "kana", "dolo", cwd=tmp_path).stdout
    assert [row[3] for row in columns_of(scored, "\t")[1:]] == ["girls", "boys"]
    assert run("validate", "--ckpt_path", "last", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("predict", "--sampling.label", "Q"), "sampling.label is Q, but the model has no label Q; it has x, y, z"),
        (("predict", "--sampling.label", "x:0,y:1"), "sampling.label is x:0,y:1, which cannot be read at 'x:0'"),
        (("predict", "--sampling.beam", "30"), "sampling.beam is 30, but the most likely items are those of one label"),
        (("score", "anna", "--label", "Q"), "label is Q, but the model has no such label; it has x, y, z"),
        (
            ("validate", "--data.label", "null"),
            "has no labels, but the model has x, y, z; set --data.label to a column",
        ),
        (("validate", "--data.path", "other.csv"), "has labels that the model does not know: q; it has x, y, z"),
        (("validate", "--data.labels", "{x: 1}"), "--data.labels follows from --data.label; set that instead"),
    ],
)
def test_mistakes_with_labels_are_one_line(labelled: Path, command: tuple[str, ...], message: str):
    """Catches a traceback, and a label that is ignored."""
    (labelled / "other.csv").write_text("word,kind\n" + "".join(f"ba{c},q\n" for c in "knsnlas"))
    done = run(*command, "--ckpt_path", "last", cwd=labelled)
    assert done.returncode in (1, 2)
    assert message in done.stderr.splitlines()[-1]


def test_a_model_without_labels_has_no_use_for_a_label(folder: Path, tmp_path: Path):
    """Catches options on labels that a checkpoint without labels ignores."""
    table = ("--data.path", folder / "table.csv", "--data.item", "word")
    done = run("fit", "--config", ROOT / "configs/ngram.yaml", *table, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for command, message in (
        (("predict", "--sampling.label", "x"), "sampling.label is x, but the model has no labels; leave it out"),
        (("score", "anna", "--label", "x"), "label is x, but the model has no labels; leave it out"),
        (("validate", *LABEL), "data.label is kind, but the checkpoint"),
    ):
        done = run(*command, "--ckpt_path", "last", cwd=tmp_path)
        assert done.returncode == 1
        assert f"error: {message}" in done.stderr.splitlines()[-1]


def test_a_network_that_cannot_read_labels_is_refused(folder: Path, tmp_path: Path):
    """Catches ids out of range in somebody's network, and a setting that would contradict the data."""
    (tmp_path / "table.csv").write_text((folder / "table.csv").read_text())
    data = {"path": "table.csv", "item": "word", "label": "kind"}
    own = {"model": {"network": {"class_path": "dropout_mlp.DropoutMLP"}, "optimizer": "torch.optim.SGD"}, "data": data}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(own))
    done = run("fit", "--config", "own.yaml", cwd=tmp_path)
    assert "data.label is set, but the class of model.network has no argument num_labels" in done.stderr
    setting = ("--model.network.init_args.num_labels", 2)
    done = run(*FIT, "--data.path", "table.csv", "--data.item", "word", *setting, cwd=tmp_path)
    assert done.returncode == 2
    assert "num_labels" in done.stderr.splitlines()[-1]
