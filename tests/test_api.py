"""The Python door gives what the commands give, and leaves its caller's process as it was."""

import logging
import math
import os
import random
import signal
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from run_command import ROOT, run

import mm_lightning as mm
from mm_lightning.cli.guest import as_guest, data_and_recipe, options, sampling_options

FEW_STEPS = {"trainer.max_steps": 30, "trainer.log_every_n_steps": 10, "data.batch_size": 64}


@pytest.fixture(scope="module")
def folder(names_run: Path):
    """The folder of the shared run, as working directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(names_run)
        yield names_run


@pytest.fixture(scope="module")
def model(folder: Path) -> mm.Model:
    return mm.load("last")


def output_of(folder: Path, *args: object) -> list[str]:
    result = run(*args, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7, "top_k": 9, "seed": 3, "suffix": "a", "max_length": 6, "sort": "length"},
        {"pattern": "*a.", "exclude": ["e", "ii"], "only_new": True, "unique": True},
        {"beam": 30, "prefix": "a"},
    ],
)
def test_sample_gives_the_items_of_predict(folder: Path, model: mm.Model, options: dict):
    """Catches an option that the door ignores, or reads in another way than the command."""
    words = {name: ",".join(value) if isinstance(value, list) else value for name, value in options.items()}
    args = [f"--sampling.{name}={str(value).lower()}" for name, value in words.items()]
    expected = output_of(folder, "predict", "--ckpt_path", "last", "--sampling.num_samples", 12, *args)
    assert model.sample(12, **options) == expected
    assert model.sample(12, **options) == expected  # nothing is left over from the first call


def test_sample_writes_the_file_of_predict(folder: Path, model: mm.Model, tmp_path: Path):
    """Catches a file with other columns than the command's."""
    args = ("--sampling.sort", "likelihood", "--sampling.num_samples", 5)
    for name in ("items.csv", "items.jsonl"):
        output_of(folder, "predict", "--ckpt_path", "last", *args, "--sampling.output", tmp_path / name)
        model.sample(5, sort="likelihood", output=tmp_path / f"door_{name}")
        assert (tmp_path / f"door_{name}").read_text() == (tmp_path / name).read_text()


def test_score_gives_the_numbers_of_score(folder: Path, model: mm.Model):
    """Catches a score over other targets, or under dropout or another precision."""
    head, *lines = output_of(folder, "score", "--ckpt_path", "last", "emma", "olivia")
    assert head == "word\tnll\tnll_per_char"
    scores = model.score(["emma", "olivia"])
    assert [f"{word}\t{nll:.4f}\t{per_char:.4f}" for word, nll, per_char, *_ in scores] == lines
    assert scores[0].label is None


def test_one_item_is_no_list_of_letters(model: mm.Model):
    """Catches eight scores of letters where a user gives one name."""
    assert model.score("emma") == model.score(["emma"])
    assert repr(mm.windows("emma")) == repr(mm.windows(["emma"]))


def test_next_agrees_with_score(model: mm.Model):
    """Catches probabilities of another position, or tokens that stand beside the numbers of others."""
    nll = -sum(math.log(model.next("emma"[:i])["emma"[i : i + 1]]) for i in range(5))
    assert nll == pytest.approx(model.score(["emma"])[0].nll, abs=1e-4)
    probabilities = model.next("em")
    assert sum(probabilities.values()) == pytest.approx(1)
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    assert {*probabilities} == {"", *model.alphabet}


def test_a_model_with_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a label that sampling, scores or probabilities leave out, or a wrong prior of the labels."""
    monkeypatch.chdir(tmp_path)
    Path("b.txt").write_text("\n".join(f"b{x}b" for x in "aeiou" * 4))
    Path("k.txt").write_text("\n".join(f"k{x}k" for x in "aeiou" * 8))
    settings = {"model.network.init_args.block_size": 2, "data.item": None, "data.label": "file"}
    model = mm.fit("b.txt,k.txt", "ngram_labels", settings)
    args = ("--ckpt_path", "last", "bab", "kuk")
    lines = output_of(tmp_path, "score", *args)[1:]
    found = [
        f"{s.word}\t{s.nll:.4f}\t{s.nll_per_char:.4f}\t{s.label}\t{s.probability:.4f}"
        for s in model.score(["bab", "kuk"])
    ]
    assert found == lines
    assert {item.label for item in model.sample(5, label="k")} == {"k"}  # type: ignore[attr-defined]
    for label in ("b", "k", None):
        nll = -sum(math.log(model.next("kak"[:i], label)["kak"[i : i + 1]]) for i in range(4))
        assert nll == pytest.approx(model.score(["kak"], label)[0].nll, abs=1e-4)
    with pytest.raises(mm.UserError, match="label is F, but the model has no such label; it has b, k"):
        model.next("", label="F")


def test_validate_and_test_give_the_losses_of_the_commands(folder: Path, model: mm.Model):
    """Catches another split, and a model that a measurement leaves in train mode."""
    for name in ("validate", "test"):
        measures = getattr(model, name)()
        printed = [line.split() for line in output_of(folder, name, "--ckpt_path", "last") if "/" in line]
        assert {key: pytest.approx(float(value)) for key, value in printed} == measures
    assert not model.network.training


def test_a_folder_of_safetensors(folder: Path, model: mm.Model, tmp_path: Path):
    """Catches a kind of checkpoint that the commands open and the door does not."""
    output_of(folder, "export", "--ckpt_path", "last", "--format", "safetensors", "--output", tmp_path / "names")
    assert mm.load(tmp_path / "names").sample(8) == model.sample(8)


def test_other_data_are_told(folder: Path, tmp_path: Path):
    """Catches items that are called new because the list has changed since, and a loss of trained items as of dev."""
    (tmp_path / "words.txt").write_text((folder / "words.txt").read_text() + "zzyzx\n")
    model = mm.load("last", {"data.path": tmp_path / "words.txt"})
    with pytest.raises(mm.UserError, match="so what is new cannot be told"):
        model.sample(5, only_new=True)
    model.sample(5, output=str(tmp_path / "items.csv"))
    assert {line.split(",")[2] for line in (tmp_path / "items.csv").read_text().splitlines()[1:]} == {""}
    with pytest.warns(UserWarning, match="is not what this checkpoint was trained on"):
        model.validate()


def test_plots(model: mm.Model):
    """Catches a figure that needs a Trainer's run, a display or a file."""
    for plot in (model.plot_embedding, model.plot_bigrams, model.plot_activations):
        assert plot().axes, plot


def test_fit_leaves_what_the_command_leaves(words: Path):
    """Catches a run of the door that the commands cannot resume, or that has other settings or weights."""
    model = mm.fit("words.txt", settings=FEW_STEPS)
    recipe = ROOT / "configs/mlp_fast.yaml"
    options = [part for name, value in FEW_STEPS.items() for part in (f"--{name}", value)]
    output_of(words.parent, "fit", "--config", recipe, "--data.path", "words.txt", *options)
    door, command = (Path("lightning_logs") / f"version_{number}" for number in range(2))
    files = [sorted(str(path.relative_to(run)) for path in run.rglob("*")) for run in (door, command)]
    assert [name for name in files[0] if "events" not in name] == [name for name in files[1] if "events" not in name]
    assert (door / "config.yaml").read_text() == (command / "config.yaml").read_text()
    weights = mm.load(command / "checkpoints/best.ckpt").network.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.network.state_dict().items())
    assert model.plot_loss().axes
    resumed = mm.fit(
        "words.txt", settings={**FEW_STEPS, "trainer.max_steps": 60, "ckpt_path": str(door / "checkpoints/last.ckpt")}
    )
    assert resumed.path.parents[1].name == "version_0"


def test_fit_of_a_counted_network_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a recipe whose own data are not found by name, and a run without a best checkpoint."""
    monkeypatch.chdir(tmp_path)
    assert mm.fit(recipe="bigram_counts").validate()["val/loss"] == pytest.approx(2.4716, abs=1e-4)


def state_of_process():
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state().tolist(),
        "threads": torch.get_num_threads(),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "log": logging.root.manager.disable,
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)],
        "stdout": sys.stdout,
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
    }


def test_settings_can_be_paths_and_numbers_of_numpy():
    """Catches a list of paths, or a learning rate that numpy computed, that ends in a traceback of json."""
    settings = {"data.path": [Path("a.txt"), "b.txt"], "model.optimizer.lr": np.float32(0.5), "seed": np.int64(7)}
    assert data_and_recipe(None, ROOT / "configs/mlp.yaml")[0].endswith("configs/mlp.yaml")
    assert sampling_options({"num_samples": np.int64(2), "temperature": np.float32(0.5)}).num_samples == 2
    assert options(settings) == ['--data.path=["a.txt", "b.txt"]', "--model.optimizer.lr=0.5", "--seed=7"]


def test_a_variable_of_the_caller_stays(monkeypatch: pytest.MonkeyPatch):
    """Catches the seed of the caller's own training, which Lightning keeps in a variable, replaced by that of a run."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "7")
    with as_guest():
        os.environ["PL_GLOBAL_SEED"] = "42"
    assert os.environ["PL_GLOBAL_SEED"] == "7"


def test_the_process_stays_as_it_was(words: Path, capfd: pytest.CaptureFixture[str]):
    """Catches a seed, thread limit, signal handler, filter or line of output that a caller is left with."""
    before = state_of_process()
    model = mm.fit("words.txt", settings=FEW_STEPS)
    assert mm.fit("words.txt", settings=FEW_STEPS).sample(5) == model.sample(5)  # twice in one process
    model.validate()
    mm.lr_find("words.txt", settings={"num_steps": 100})
    with pytest.raises(mm.UserError):
        mm.fit("words.txt", settings={**FEW_STEPS, "model.lr_scheduler.init_args.max_lr": 1e9})
    assert state_of_process() == before
    assert capfd.readouterr() == ("", "")


def test_python_works_in_one_process(folder: Path, model: mm.Model, monkeypatch: pytest.MonkeyPatch):
    """Catches processes that run the caller's script again, and one that waits for the others of torchrun."""
    two = {"trainer.accelerator": "cpu", "trainer.devices": 2}
    for start in (lambda: mm.load("last", two), lambda: mm.fit("words.txt", settings=two)):
        with pytest.raises(mm.UserError, match=r"one device, so trainer.devices 2 has no effect; .* run the command"):
            start()
    started = {"WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "RANK": 1, "LOCAL_RANK": 1, "GROUP_RANK": 0}
    for name, value in {**started, "TORCHELASTIC_RUN_ID": "run"}.items():
        monkeypatch.setenv(name, str(value))
    again = mm.load("last")
    assert again.sample(12) == model.sample(12)
    assert again.validate() == model.validate()
    with pytest.raises(mm.UserError, match="fit in Python works in one process, and 2 were started"):
        mm.fit("words.txt", settings=FEW_STEPS)


def test_a_fit_outside_of_the_main_thread(words: Path):
    """Catches signal handlers, which Python allows in the main thread only."""
    found: list[mm.Model] = []
    thread = threading.Thread(target=lambda: found.append(mm.fit("words.txt", settings=FEW_STEPS)))
    thread.start()
    thread.join()
    assert len(found) == 1


def test_ctrl_c_is_an_interrupt_that_saves(words: Path):
    """Catches a program or a notebook that a stop signal ends with an exception of ours."""
    timer = threading.Timer(2.0, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    with pytest.raises(KeyboardInterrupt, match="stopped by SIGINT"):
        mm.fit("words.txt", recipe="mlp", settings={"trainer.compile": False})
    timer.join()
    assert Path("lightning_logs/version_0/checkpoints/last.ckpt").is_file()


def test_lr_find_gives_the_suggestion_of_the_command(words: Path):
    """Catches another range of rates than the command's, or files that nobody asked for."""
    test = mm.lr_find("words.txt", settings={"num_steps": 100, "min_exponent": -2})
    assert not list(words.parent.glob("lr_find.*"))
    options = ("--data.path", "words.txt", "--num_steps", 100, "--min_exponent", -2)
    lines = output_of(words.parent, "lr_find", "--config", ROOT / "configs/mlp.yaml", *options)
    assert lines[0] == f"suggested learning rate: {test.suggestion:.2g}"
    assert test.plot().axes


def test_windows_of_the_lecture():
    """Catches other rows, ids or signs than the lecture's."""
    rows = mm.windows(["emma"], block_size=3)
    assert repr(rows) == "... --> e\n..e --> m\n.em --> m\nemm --> a\nmma --> ."
    assert rows.x.tolist() == [[0, 0, 0], [0, 0, 5], [0, 5, 13], [5, 13, 13], [13, 13, 1]]
    assert rows.y.tolist() == [5, 13, 13, 1, 0]
    assert repr(mm.windows(["ab"] * 10, block_size=1)).splitlines()[-1] == "and 10 more"
    assert mm.windows(["שלום"]).y.tolist() == [4, 2, 1, 3, 0]
    assert mm.windows(["ba"], alphabet="ba").y.tolist() == [1, 2, 0]


def recipe_of_seeds() -> Path:
    """Write a recipe that trains two runs."""
    Path("seeds.yaml").write_text((ROOT / "configs/mlp_fast.yaml").read_text() + "\nseeds: 2\n")
    return Path("seeds.yaml")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda model: model.sample(tempreature=2), "sampling.tempreature: no such option; did you mean temperature?"),
        (lambda model: model.sample(temperature=-1), r"sampling.temperature is -1; give float in \[0, inf\)"),
        (lambda model: model.sample("ten"), "sampling.num_samples is ten; give int"),
        (lambda model: model.sample(prefix=None), "sampling.prefix is null; leave it out or give str"),
        (lambda model: model.sample(show_nll=True), "sample returns items alone; give output, or use score"),
        (lambda model: model.sample(suffix="é"), "sampling.suffix is 'é': not in the model's alphabet: 'é'"),
        (lambda model: model.sample(pattern="a", num_samples=2, unique=True), "found 1 of 2 items"),
        (lambda model: model.score(["Emma"]), "not in the model's alphabet: 'E'"),
        (lambda model: model.next("e", label="F"), "label is F, but the model has no labels; leave it out"),
        (lambda model: mm.load("x.ckpt"), "x.ckpt: no such checkpoint"),
        (lambda model: mm.load(settings={"data.split": "all", "no.such": 1}), "unrecognized arguments: --no.such=1"),
        (
            lambda model: mm.load("last", {"sampling.seed": 3}),
            "sampling.seed is 3, but load makes no items; give it to",
        ),
        (lambda model: mm.load("x.ckpt", {"ckpt_path": "best"}), "ckpt_path is best, but load opens x.ckpt; leave it"),
        (lambda model: mm.fit("nope.txt"), "nope.txt: no such file"),
        (lambda model: mm.fit("words.txt", settings={"trainer.fast_dev_run": True}), "leaves no model to return"),
        (lambda model: mm.fit(settings={"seeds": 1, "trainer.max_steps": 0}), "trainer.max_steps is 0, so that noth"),
        (lambda model: mm.read("data/names.csv"), "data/names.csv is a table with the columns"),
        (lambda model: mm.fit(recipe="mlp_fats"), "recipe mlp_fats: no such recipe; did you mean mlp_fast?"),
        (lambda model: mm.fit(recipe="x/y.yaml"), "recipe x/y.yaml: no such recipe; give one of bag_of_words, "),
        (lambda model: mm.fit(settings={"trainer.max_step": 3}), "did you mean --trainer.max_steps?"),
        (lambda model: mm.fit(settings={"data.item": {"a"}}), "data.item has a set; give text, numbers, lists and"),
        (lambda model: mm.fit(settings={"seeds": 3}), "seeds is 3, but fit returns one model"),
        (lambda model: mm.fit("words.txt", recipe=recipe_of_seeds()), "seeds is 2, but fit returns one model"),
        (lambda model: mm.fit("words.txt", settings={"trainer.max_time": "00:00:00:00"}), "training ended before its"),
        (lambda model: mm.lr_find(recipe="ngram"), "KneserNey does not learn by gradient"),
        (lambda model: mm.lr_find(settings={"output": "x.png"}), "lr_find writes no files; leave it out"),
        (lambda model: mm.windows([]), "give at least one item, and a block_size of at least 1"),
        (lambda model: mm.windows(["a"], alphabet="b"), "not in the model's alphabet: 'a'"),
    ],
)
def test_mistakes_are_exceptions(model: mm.Model, call, message: str):
    """Catches an exit, a traceback of a library, and a setting that is ignored without a word."""
    with pytest.raises(mm.UserError, match=message.replace("?", r"\?")):
        call(model)


def test_the_import_takes_no_time():
    """Catches an import of torch by `import mm_lightning`, and names of the door that are not found."""
    code = "import sys, mm_lightning as mm; print('torch' in sys.modules, {*mm.__all__} <= {*dir(mm)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"
    assert all(getattr(mm, name).__doc__ for name in mm.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        mm.lode  # noqa: B018
