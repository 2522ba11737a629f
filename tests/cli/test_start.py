"""The start of a command: with and without Lightning, predict and score do the same."""

import shutil
from dataclasses import fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from run_command import ROOT, run

from mm_lightning.cli import opening, start
from mm_lightning.cli.options.arguments import ordered
from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.commands.parts.parsing import parser

WITH_LIGHTNING = "--trainer.logger=false"  # its default: changes nothing but the way


def sampling(**options):
    return [f"--sampling.{name}={value}" for name, value in options.items()]


@pytest.fixture(scope="module")
def models(tmp_path_factory, names_run):
    """A folder with models of each kind that sampling and scoring distinguish, and with the data of one of them."""
    folder = tmp_path_factory.mktemp("models")
    labelled = (ROOT / "data/names.csv").read_text().splitlines()[:400]
    (folder / "labels.csv").write_text("\n".join(labelled))
    sentences = (ROOT / "data/sentences.txt").read_text().splitlines()[:300]
    (folder / "sentences.txt").write_text("\n".join(sentences))
    for name, config, data in (
        ("labels", "ngram_labels", ("--data.path", "labels.csv")),
        ("sentences", "mlp_sentences", ("--data.path", "sentences.txt", "--trainer.max_steps", 50)),
    ):
        done = run("fit", "--config", ROOT / f"configs/{config}.yaml", *data, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / "lightning_logs/version_0/checkpoints/last.ckpt").rename(folder / f"{name}.ckpt")
        shutil.rmtree(folder / "lightning_logs")
    shutil.copytree(names_run / "lightning_logs", folder / "lightning_logs")
    shutil.copy(names_run / "words.txt", folder)
    content = (folder / "labels.ckpt").read_bytes()
    (folder / "damaged.ckpt").write_bytes(content[:2000] + b"x" + content[2001:])
    (folder / "list.txt").write_text("anna\nbob\n")
    (folder / "sampling.yaml").write_text("num_samples: 7\nexclude: [a, b]\n")
    return folder


SAME = {
    "plain": ("predict", "best"),
    "options": ("predict", "last", *sampling(num_samples=2000, temperature=0.7, top_k=9, top_p=0.9, seed=7)),
    "columns": ("predict", "last", *sampling(num_samples=50, output="items.csv", unique="true")),
    "lines of JSON": ("predict", "last", *sampling(output="items.jsonl", sort="length", only_new="true")),
    "sorted": ("predict", "last", *sampling(num_samples=90, sort="likelihood", show_nll="true")),
    "file of options": ("predict", "last", "--sampling", "sampling.yaml", "--sampling.seed", 3),
    "no such file of options": ("predict", "last", "--sampling", "nosuch.yaml"),
    "conditions": ("predict", "last", *sampling(prefix="a", contains="n", exclude="xx,q")),
    "beam": ("predict", "last", *sampling(num_samples=5, beam=9)),
    "labels": ("predict", "labels.ckpt", *sampling(label="F:0.7,M:0.3", output="items.csv")),
    "sentences": ("predict", "sentences.ckpt", *sampling(num_samples=5, prefix="the", suffix=".")),
    "network of long context": ("predict", ROOT / "data/names.ckpt", *sampling(num_samples=3, suffix="lyn")),
    "too few": ("predict", "last", *sampling(temperature=0, unique="true")),
    "no such prefix": ("predict", "last", *sampling(prefix="é")),
    "no labels": ("predict", "last", *sampling(label="F")),
    "no such label": ("predict", "labels.ckpt", *sampling(label="X")),
    "bad suffix": ("predict", "last", *sampling(output="items.pdf")),
    "no folder": ("predict", "last", *sampling(output="nosuch/items.txt")),
    "bad value": ("predict", "last", *sampling(temperature=-1)),
    "bad word": ("predict", "last", *sampling(sort="up")),
    "null": ("predict", "last", *sampling(seed="null")),
    "contradiction": ("predict", "last", *sampling(min_length=9, max_length=8)),
    "unknown option": ("predict", "last", *sampling(num_samplez=3)),
    "option without section": ("predict", "last", "--num_samples=3"),
    "option of another command": ("predict", "last", "--input=list.txt"),
    "no such file": ("predict", "nosuch.ckpt"),
    "damaged file": ("predict", "damaged.ckpt"),
    "score": ("score", "best", "anna", "bob"),
    "score, input": ("score", "last", "--input", "list.txt", "anna"),
    "score, unknown character": ("score", "last", "zoë", "anna"),
    "score, labels": ("score", "labels.ckpt", "anna", "james"),
    "score, label": ("score", "labels.ckpt", "anna", "--label", "M"),
    "score, no such label": ("score", "last", "anna", "--label", "M"),
    "score, sentences": ("score", "sentences.ckpt", "the old dog sleeps ."),
    "score, none": ("score", "last"),
    "score, no such input": ("score", "last", "--input", "nosuch.txt"),
}


@pytest.mark.parametrize("case", SAME)
def test_commands_do_the_same_without_lightning(models, case):
    """Catches other items, other rounding, another error or a lost file on the way that most people take."""
    command, path, *options = SAME[case]
    results = []
    for way in ((), (WITH_LIGHTNING,)):
        done = run(command, "--ckpt_path", path, *options, *way, cwd=models)
        assert ("Restoring states" in done.stderr) <= bool(way)
        written = {file.name: file.read_bytes() for file in models.glob("items.*")}
        for name in written:
            (models / name).unlink()
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        results.append((done.returncode, done.stdout, written, errors))
    assert results[0] == results[1]
    status, stdout, written, errors = results[0]
    assert (errors == []) == (status == 0)
    assert stdout or written or errors


def test_notes_are_told_without_lightning(models):
    """Catches a note that is lost: which file `last` is, and that samples are approximate."""
    last = run("predict", "--ckpt_path", "last", cwd=models)
    assert last.stderr == "--ckpt_path last: lightning_logs/version_0/checkpoints/last.ckpt\n"
    rare = run("predict", "--ckpt_path", ROOT / "data/names.ckpt", "--sampling.suffix", "elizabeth", cwd=models)
    assert "the conditions are rarely met: resampling approximates" in rare.stderr


@pytest.mark.parametrize(
    "line",
    [
        "predict --ckpt_path last --data.path words.txt",
        "predict --ckpt_path last --trainer.devices 2",
        "predict --ckpt_path last --config c.yaml",
        "predict --ckpt_path last --model.network my_net.MyNet",
        "predict --ckpt_path last --help",
        "predict --ckpt_path last --print_config",
        "predict --ckpt_path last --accelerator cpu",
        "predict --ckpt_path last words.txt",
        "score --ckpt_path last --data.label sex anna",
        "validate --ckpt_path last",
    ],
)
def test_other_options_need_lightning(line):
    """Catches a setting that is ignored, and an error whose hint is lost."""
    assert not start.run_without_lightning(ordered(line.split()))


@pytest.mark.parametrize("variables", [{"WORLD_SIZE": "2", "RANK": "1"}, {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"}])
def test_several_processes_need_lightning(monkeypatch, variables):
    """Catches items that each of several processes writes."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not start.run_without_lightning(["predict", "--ckpt_path=last"])


def test_a_large_network_goes_to_a_gpu(models, monkeypatch):
    """Catches a GPU that is left idle by the way without Lightning."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("mm_lightning.cli.devices._GPU_STEP_MULTIPLY_ADDS", 1)
    devices = []
    monkeypatch.setattr(
        "mm_lightning.training.checkpoint.load_model", lambda model, path, device: devices.append(device)
    )
    with opening._opened(models / "sentences.ckpt", "", "predict") as (model, _, runner):
        runner.load_weights(model, Path())
    assert devices == [torch.device("cuda")]


HEAVY = [name for name, command in COMMANDS.items() if command.module and not command.is_light]


@pytest.mark.parametrize("name", HEAVY)
def test_hints_know_the_options_of_a_command(name):
    """Catches an option that the text of a command's module names and its parser does not, or the other way round."""
    kinds = get_type_hints(import_module(COMMANDS[name].module).run)
    kinds.pop("return")
    kind = kinds.get("sampling", int)
    nested = [f"sampling.{field.name}" for field in fields(kind)] if is_dataclass(kind) else []
    assert parser._own_options(COMMANDS[name]) == {f"--{option}" for option in [*kinds, *nested]}
