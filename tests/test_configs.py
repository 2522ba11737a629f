"""The life of a run of every recipe in configs/: trained, stopped, resumed, opened, sampled from, scored with."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from run_command import ROOT, run

from mm_lightning.cli.application import Application
from mm_lightning.data.files.lists import join_files, read_files
from mm_lightning.data.files.tables import Columns
from mm_lightning.data.items import Items
from mm_lightning.evaluation.loss import posterior, score, score_by_label
from mm_lightning.training.module import LanguageModel

CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
ALIKE = {  # recipes of the same classes as another, with other numbers; their own lives are slow tests
    "lstm_512": "lstm",
    "mlp_2d_300": "mlp_2d_100",
    "mlp_best": "mlp_context8",
    "wavenet_22k": "wavenet_76k",
}
LIVED = [pytest.param(path, marks=pytest.mark.slow if path.stem in ALIKE else (), id=path.stem) for path in CONFIGS]
LINES = 400  # of the recipe's data: enough to train on, few enough to be quick


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def config(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def settings_of(config: Path) -> dict:
    return yaml.safe_load(config.read_text(encoding="utf-8"))


def counts(config: Path) -> bool:
    return "optimizer" not in settings_of(config)["model"]


def spanning(config: Path, steps: int) -> tuple[str, ...]:
    """Option of a schedule that spans the run, so that a lower max_steps would be another schedule."""
    has_one_cycle = "OneCycleLR" in config.read_text(encoding="utf-8")
    return ("--model.lr_scheduler.init_args.total_steps", str(steps)) if has_one_cycle else ()


@pytest.fixture
def some_data(config: Path, tmp_path: Path) -> Path:
    """Some lines of the recipe's own data, spread over the file."""
    own = ROOT / settings_of(config).get("data", {}).get("path", "data/names.txt")
    lines = own.read_text(encoding="utf-8").splitlines()
    path = tmp_path / "data.txt"
    path.write_text("\n".join(lines[:: len(lines) // LINES]) + "\n", encoding="utf-8")
    return path


def fit(config: Path, data: Path, cwd: Path, *options: str, prepare=None) -> Path:
    """Checkpoint of a fit that went well."""
    cwd.mkdir(exist_ok=True)
    done = run("fit", "--config", config, "--data.path", data, *options, cwd=cwd, prepare=prepare)
    assert done.returncode == 0, done.stderr
    return cwd / "lightning_logs/version_0/checkpoints/last.ckpt"


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]  # type: ignore[no-any-return]


def test_a_recipe_says_what_it_is(config: Path):
    """A recipe that repeats defaults until nobody reads it, or does not say what to expect."""
    lines = config.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith("# ")
    assert "val/loss" in lines[0]


def kinds(config: Path) -> tuple[set[str], set[str], set[str]]:
    """Classes of a recipe, and what it sets of the data and the trainer."""
    settings = settings_of(config)
    classes = set(re.findall(r"class_path: (\S+)", config.read_text(encoding="utf-8")))
    return classes, set(settings.get("data", {})), set(settings["trainer"])


@pytest.mark.parametrize(("config", "other"), ALIKE.items())
def test_recipes_alike_differ_in_numbers_only(config: str, other: str):
    """A recipe whose life nobody tries before a commit, though another's no longer stands for it."""
    assert kinds(ROOT / f"configs/{config}.yaml") == kinds(ROOT / f"configs/{other}.yaml")


def test_a_recipe_is_accepted(config: Path, some_data: Path):
    """A key or a value that is none of its class's."""
    cli = Application(["--config", str(config), "--data.path", str(some_data)], run=False)
    network = settings_of(config)["model"]["network"]
    assert type(cli.model.network).__name__ == network["class_path"].rpartition(".")[2]


@pytest.mark.parametrize("config", LIVED)
def test_the_life_of_a_run(config: Path, some_data: Path, tmp_path: Path):
    """A recipe that trains, but cannot go on, be opened, sampled from or scored with by its checkpoint alone."""
    schedule = () if counts(config) else spanning(config, 20)
    steps = () if counts(config) else ("--trainer.max_steps", "20", *schedule)
    checkpoint = fit(config, some_data, tmp_path / "whole", *steps)
    if not counts(config):
        fit(config, some_data, tmp_path / "parts", "--trainer.max_steps", "7", *schedule)
        parts = fit(config, some_data, tmp_path / "parts", *steps, "--ckpt_path", "last")
        resumed, whole = weights(parts), weights(checkpoint)
        assert resumed.keys() == whole.keys()
        assert all(torch.equal(resumed[key], whole[key]) for key in whole)
    some_data.rename(tmp_path / "elsewhere.txt")
    drawn = run("predict", "--ckpt_path", checkpoint, "--sampling.num_samples", "7", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert len(drawn.stdout.splitlines()) == 7
    columns = Columns(settings_of(config).get("data", {}).get("item"))
    known = list(join_files(read_files(str(tmp_path / "elsewhere.txt"), columns))[0])[:5]
    scored = run("score", "--ckpt_path", checkpoint, *known, cwd=tmp_path)
    assert scored.returncode == 0, scored.stderr
    model = LanguageModel.load_from_checkpoint(checkpoint, map_location="cpu", weights_only=True).eval()
    items = Items.from_strings(known)
    expected = score(model.network, model.vocabulary, items).tolist()
    if model.labels:
        nll = score_by_label(model.network, model.vocabulary, items, len(model.labels))
        expected = posterior(nll, list(model.labels.values()))[0].tolist()
    found = {line.split("\t")[0]: float(line.split("\t")[1]) for line in scored.stdout.splitlines()[1:]}
    assert found == pytest.approx(dict(zip(known, expected, strict=True)), abs=1e-4)


@pytest.mark.slow
def test_a_recipe_can_be_drawn(config: Path, some_data: Path, tmp_path: Path):
    """A network of which the pictures are an error, or an optimiser whose steps cannot be gone on with."""
    checkpoint = fit(config, some_data, tmp_path, *(() if counts(config) else ("--trainer.max_steps", "20")))
    drawn = run("plot", "--ckpt_path", checkpoint, cwd=tmp_path, timeout=600)  # minutes for the largest LSTM
    assert drawn.returncode == 0, drawn.stderr
    expected = {"bigrams.png"} if counts(config) else {"bigrams.png", "updates.png"}
    assert expected <= {picture.name for picture in (tmp_path / "plots").iterdir()}
