"""The help of each command."""

import pytest
from run_command import ROOT, run

from mm_lightning.cli.options.arguments import STARTING, TRAINING
from mm_lightning.commands.catalogue import COMMANDS

WITH_TRAINER = [name for name, command in COMMANDS.items() if not command.is_light]
MOST_LINES = {"fit": 270, "lr_find": 270, "predict": 170}


@pytest.fixture(scope="module", params=WITH_TRAINER)
def shown(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A command and its help."""
    done = run(request.param, "--help", cwd=tmp_path_factory.mktemp("help"))
    assert done.returncode == 0, done.stderr
    return request.param, done.stdout


def test_help_is_read_in_a_minute(shown: tuple[str, str]):
    """Catches hundreds of lines about Lightning before the options of the command."""
    command, text = shown
    assert len(text.splitlines()) <= MOST_LINES.get(command, 110)
    usages = (
        f"{command} --ckpt_path",
        f"{command} (--config FILE | --ckpt_path CHECKPOINT",
        "verify CARD [--ckpt_path",
    )
    assert text.removeprefix("usage: mm_lightning ").startswith(usages)
    assert COMMANDS[command].summary in " ".join(text.split())
    assert "--trainer.callbacks" not in text
    assert "Linked arguments" not in text


def test_help_names_only_what_the_command_heeds(shown: tuple[str, str]):
    """Catches an option that changes nothing, and a default that is not the one in force."""
    command, text = shown
    assert ("--seed_everything" in text) == (command in TRAINING)
    for option in ("max_steps", "steps_per_execution", "val_check_interval", "log_every_n_steps", "num_nodes"):
        assert (f"--trainer.{option}" in text) == (command == "fit")
    assert ("--trainer.enable_progress_bar" in text) == (command in STARTING)
    num_own = {"fit": 0, "lr_find": 0, "score": 0, "plot": 3}.get(command, 2)  # data.path, data.split, and the seed
    assert " ".join(text.split()).count("default: that of the checkpoint") == num_own
    assert "--card" not in text
    assert "://" not in text


def test_help_with_a_checkpoint_shows_its_settings(tmp_path):
    """Catches defaults that are called those of the checkpoint where they are known."""
    text = run("plot", "--ckpt_path", ROOT / "data/names.ckpt", "--help", cwd=tmp_path).stdout
    assert "default: all)" in " ".join(text.split())
    assert "that of the checkpoint" not in text


@pytest.mark.parametrize(("network", "expected"), [("MLP", "--model.network.hidden_dim"), ("Bigram", "no options")])
def test_a_class_has_help(network: str, expected: str, tmp_path):
    """Catches help on a class that is refused beside a recipe, names no program, or is empty."""
    for config in ((), ("--config", "configs/mlp_fast.yaml")):
        done = run("fit", *config, "--model.network.help", network, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: mm_lightning fit")
        assert expected in done.stdout


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("fit", ("--data.path", "--trainer.max_steps", "--trainer.steps_per_execution", "--last.every_n_train_steps")),
        ("fit", ("| --init_from CHECKPOINT) [options]", "--model.network.help CLASS")),
        ("predict", ("--ckpt_path", "--sampling.num_samples", "--sampling.pattern", "--sampling.output")),
        ("quality", ("--num_samples", "--output", "--data.path")),
        ("lr_find", ("--num_steps", "--max_exponent", "--model.network")),
        ("score", ("--input", "ITEM                  Item to score.\n")),
        ("verify", ("CARD                  Card that export wrote",)),
        ("export", ("--ckpt_path CHECKPOINT --output FILE [options]",)),
    ],
)
def test_help_names_the_options_of_the_command(command: str, options: tuple[str, ...], tmp_path):
    """Catches an option that people set and no help names."""
    text = run(command, "--help", cwd=tmp_path).stdout
    for option in options:
        assert option in text
    first = min(text.index(option) for option in options)
    assert first < text.index("--trainer.default_root_dir"), "options of the Trainer come last"


def test_an_option_that_help_leaves_out_works(tmp_path):
    """Catches an option that is removed together with its help."""
    done = run("fit", "--config", "configs/mlp.yaml", "--trainer.benchmark", "true", "--print_config", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "benchmark: true" in done.stdout
