"""What a mistaken command line is told: the option, command, list or checkpoint that was meant."""

from pathlib import Path

import pytest
from run_command import FIT, ROOT, run

from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.commands.parts.parsing.parser import option_names
from mm_lightning.commands.parts.parsing.wording import did_you_mean
from mm_lightning.training import checkpoint


@pytest.fixture(scope="module")
def folder(words_elsewhere: Path) -> Path:
    """A folder with a list and a run of three steps."""
    result = run(*FIT, "--data.path", "words.txt", "--trainer.max_steps", 3, cwd=words_elsewhere.parent)
    assert result.returncode == 0, result.stderr
    return words_elsewhere.parent


MISTAKES = [
    (("fit", "words.txt"), "--data.path words.txt; for items at once: python -m mm_lightning make words.txt"),
    (("fit", "--data", "words.txt"), "give a list as --data.path words.txt"),
    (("fit", "--data.path", "words.txt"), "fit needs --config, for example --config configs/mlp_fast.yaml"),
    (("fit", "configs/mlp.yaml"), "give --config configs/mlp.yaml"),
    (("fit", "--cnfig", "configs/mlp.yaml"), "is --cnfig meant to be --config?"),
    ((*FIT, "words.txt"), "did you mean --data.path words.txt?"),
    ((*FIT, "--trainer.max_stepps", 5), "did you mean --trainer.max_steps?"),
    ((*FIT, "--trainer.max_step", 5), "did you mean --trainer.max_steps?"),
    ((*FIT, "--max_steps", 5), "did you mean --trainer.max_steps?"),
    ((*FIT, "--modle.network", "x"), "did you mean --model.network?"),
    ((*FIT, "--model.network.hiden_dim", 5), "did you mean hidden_dim?"),
    ((*FIT, "--sampling.prefix", "a"), "it is an option of predict"),
    (("predict", "--ckpt_path", "last", "--sampling.prefx", "a"), "did you mean --sampling.prefix?"),
    (("predict", "--ckpt_path", "last", "--temperature", 1), "did you mean --sampling.temperature?"),
    (("predict", "--ckpt_path", "last", "--init_from", "last"), "it is an option of fit"),
    (("prdict", "--ckpt_path", "last"), "there is no command prdict; did you mean predict?"),
    (("words.txt",), "make more like it: python -m mm_lightning make words.txt"),
    (("report", "--data.pat", "words.txt"), "did you mean --data.path?"),
    (("report", "words.txt"), "did you mean --data.path words.txt?"),
    (("sweep", "--config", str(ROOT / "configs/sweeps/mlp.yaml"), "--trial", 3), "did you mean --trials?"),
]


@pytest.mark.parametrize(("args", "hint"), MISTAKES)
def test_a_mistake_is_one_line_that_names_what_was_meant(folder: Path, args: tuple[str, ...], hint: str):
    """Catches an error without a way out, an abbreviation that is taken, and a mistake that is passed over."""
    before = sorted(folder.rglob("*"))
    result = run(*args, cwd=folder)
    line = result.stderr.splitlines()[-1]
    assert result.returncode == 2, result.stderr
    assert line.startswith("error: ")
    assert hint in line
    assert sorted(folder.rglob("*")) == before


def test_a_list_as_config_is_told_its_option(folder: Path):
    """Catches a list printed back as settings."""
    result = run("fit", "--config", "words.txt", cwd=folder)
    assert "holds text and no settings (a list of items is for --data.path)" in result.stderr


def test_last_and_best_name_their_run(folder: Path):
    """Catches a newest run other than the user thinks, taken without a word, and a word about it on stdout."""
    result = run("predict", "--ckpt_path", "best", cwd=folder)
    assert result.stderr.startswith("--ckpt_path best: lightning_logs/version_0/checkpoints/best.ckpt\n")


@pytest.mark.parametrize(
    "args", [("score", "Ж"), ("predict", "--sampling.prefix", "Ж"), ("validate", "--data.path", "data/names.txt")]
)
def test_an_alphabet_that_does_not_fit_names_its_checkpoint(folder: Path, args: tuple[str, ...]):
    """Catches an error about characters that does not tell which run has the alphabet."""
    result = run(args[0], "--ckpt_path", "last", *args[1:], cwd=folder)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("lightning_logs/version_0/checkpoints/last.ckpt")


def test_similar_words():
    """Catches a hint at another section's option, and a hint where nothing is similar."""
    known = {"--samples.num_samples", "--sampling.num_samples", "--data.path"}
    assert did_you_mean("--num_samples", known) == "; did you mean --sampling.num_samples?"
    assert did_you_mean("--nosuch", known) == ""


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.is_light])
def test_light_commands_hand_out_their_options(name: str):
    """Catches a light command whose options no other command's error can name."""
    module = __import__(str(COMMANDS[name].module), fromlist=["make_parser"])
    assert "--help" in option_names(module.make_parser())


def test_a_setting_of_a_later_version_is_named(folder: Path, tmp_path: Path):
    """Catches a traceback for a checkpoint of a version with one option more."""
    content = checkpoint.load(folder / "lightning_logs/version_0/checkpoints/last.ckpt")
    content["datamodule_hyper_parameters"]["novelty"] = 1
    checkpoint.save(content, tmp_path / "later.ckpt")
    result = run("validate", "--ckpt_path", tmp_path / "later.ckpt", cwd=folder)
    assert result.returncode == 1
    assert "later.ckpt has a setting that this version does not know: " in result.stderr.splitlines()[-1]
    assert "data.novelty" in result.stderr.splitlines()[-1]
