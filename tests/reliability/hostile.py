"""Hostile values and options, and a folder with a short run to try them on."""

from importlib import import_module

import pytest
import yaml
from limited import clean
from run_command import FIT, ROOT, run

from mm_lightning.commands.catalogue import COMMANDS

VALUES = [  # of the command line; some are accepted by many options
    *("1", "2", "0", "true", "0.5", "x.png") * 4,
    *("-1", "0", "1", "2", "7", "0.5", "1.5", "1e400", "1e-300", "nan", "inf", "null", "true", "false", "", "x", "é"),
    *(
        "[]",
        "{}",
        "[1]",
        "{a: 1}",
        "[null]",
        "[",
        "'",
        '"',
        "a b",
        "*",
        ".",
        "-x",
        "--",
        "\u2028",
        "2024-13-01",
        "0x10",
    ),
    *(str(2**70), "a" * 5000, "[" * 3000, "&a [*a]", "!!python/object:os.system x", '"\\ud800"', '"a\\0b"', "b\udcff"),
    *("words.txt", "run.ckpt", "last", "/dev/null", "/dev/zero", "nosuch/x.png", "x.png", "x.json", "x" * 300 + ".png"),
    *("mm_lightning.networks.GRU", "torch.optim.Adam", "os.system", "mm_lightning.networks.nosuch", "data/names.txt"),
]
BOUNDS = ("--trainer.max_time", "00:00:00:10", "--trainer.steps_per_execution", 1)
TINY = (*FIT, "--data.path", "words.txt", "--trainer.max_steps", 4, "--model.network.init_args.hidden_dim", 4, *BOUNDS)
EXPORT = ("export", "--ckpt_path", "run.ckpt", "--output", "page.html")
KEPT = {"words.txt", "run.ckpt", "base.yaml", "page.html.card.md"}
NOT_TRIED = {  # start other processes, which fork from no prepared process, or have no bound by design
    *("trainer.devices", "trainer.num_nodes", "trainer.max_time", "config", "minutes", "lists"),
}


def prepared(folder):
    """Make words, a checkpoint, a card and a base for sweeps in a folder."""
    names = (ROOT / "data/names.txt").read_text().splitlines()[:60]
    (folder / "words.txt").write_text("\n".join(names), encoding="utf-8")
    done = run(*TINY, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "lightning_logs/version_0/checkpoints/best.ckpt").rename(folder / "run.ckpt")
    base = yaml.safe_load((ROOT / "configs/mlp.yaml").read_text())
    base["data"] = {"path": "words.txt"}
    base["trainer"] = {"max_steps": 2, "max_time": "00:00:00:10"}
    (folder / "base.yaml").write_text(yaml.safe_dump(base))
    done = run(*EXPORT, cwd=folder)
    assert done.returncode == 0, done.stderr
    clean(folder, KEPT)
    return folder


SPACE = "{model.network.init_args.hidden_dim: {int: [2, 4]}}"
COMMAND_LINES = {  # that work, to which a hostile option is added
    **{name: (name, "--ckpt_path", "run.ckpt") for name in COMMANDS},
    "fit": TINY,
    "lr_find": ("lr_find", *TINY[1:], "--num_steps", 100),
    "score": ("score", "--ckpt_path", "run.ckpt", "anna"),
    "quality": ("quality", "--ckpt_path", "run.ckpt", "--num_samples", 50),
    "export": EXPORT,
    "verify": ("verify", "page.html.card.md", "--ckpt_path", "run.ckpt"),
    "make": ("make", "words.txt", "--minutes", 0),
    "report": ("report", "--data.path", "words.txt"),
    "sweep": ("sweep", "--base", "base.yaml", "--space", SPACE, "--trials", 1),
}


def flattened(settings, section=""):
    for key, value in settings.items():
        yield f"{section}{key}"
        if isinstance(value, dict):
            yield from flattened(value, f"{section}{key}.")


def options_of(command, folder):
    """The options of a command, as its parser has them."""
    entry = COMMANDS[command]
    if entry.is_light:
        own = sorted({*import_module(entry.module).make_parser().get_defaults().keys()} - NOT_TRIED)
        return [*own, *(["data.path", "model.network.init_args.embed_dim"] if command == "sweep" else [])]
    done = run(*COMMAND_LINES[command], "--print_config", cwd=folder)
    assert done.returncode == 0, done.stderr
    return sorted({*flattened(yaml.safe_load(done.stdout)), "config"} - NOT_TRIED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("hostile"))
