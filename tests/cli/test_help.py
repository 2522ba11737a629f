"""The help of each command."""

import pytest
from run_command import run

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
    assert text.startswith((f"usage: mm_lightning {command} --c", "usage: mm_lightning verify CARD"))
    assert COMMANDS[command].summary in " ".join(text.split())
    assert "--trainer.callbacks" not in text
    assert "Linked arguments" not in text


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("fit", ("--data.path", "--trainer.max_steps", "--trainer.steps_per_execution", "--last.every_n_train_steps")),
        ("predict", ("--ckpt_path", "--sampling.num_samples", "--sampling.pattern", "--sampling.output")),
        ("quality", ("--num_samples", "--output", "--data.path")),
        ("lr_find", ("--num_steps", "--max_exponent", "--model.network")),
        ("score", ("--input", "words")),
        ("export", ("--ckpt_path CHECKPOINT --output FILE [options]",)),
    ],
)
def test_help_names_the_options_of_the_command(command: str, options: tuple[str, ...], tmp_path):
    """Catches an option that people set and no help names."""
    text = run(command, "--help", cwd=tmp_path).stdout
    for option in options:
        assert option in text
    first = min(text.index(option) for option in options)
    assert first < text.index("--trainer.accelerator"), "options of the Trainer come last"


def test_an_option_that_help_leaves_out_works(tmp_path):
    """Catches an option that is removed together with its help."""
    done = run("fit", "--config", "configs/mlp.yaml", "--trainer.benchmark", "true", "--print_config", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "benchmark: true" in done.stdout
