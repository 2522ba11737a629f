"""`plot`: the pictures that the command writes, and the reasons for pictures that are left out."""

import pytest
from run_command import FIT, ROOT, run

from mm_lightning.cli.application import main
from mm_lightning.training.trial_steps import TrialSteps

PNG = b"\x89PNG\r\n\x1a\n"
ALL = ["embedding.png", "bigrams.png", "loss.png", "activations.png", "updates.png"]
WORDS = [f"{a}{b}{c}" for a in "bdklmr" for b in ("a", "ei", "o", "u") for c in ("n", "lla", "s", "nna", "")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a run of 60 steps, stopped and resumed."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    options = ("--data.path", "words.txt", "--trainer.log_every_n_steps", 5, "--trainer.gradient_clip_val", 0.01)
    for more in (("--trainer.max_steps", 30), ("--trainer.max_steps", 60, "--ckpt_path", "last")):
        result = run(*FIT, *options, *more, cwd=folder)
        assert result.returncode == 0, result.stderr
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_command_writes_all_pictures_and_changes_nothing(trained, tmp_path):
    """Catches a file that is no picture, a changed run folder or checkpoint, and incomplete files."""
    before = contents(trained)
    done = run("plot", "--ckpt_path", "last", "--output", tmp_path / "new/plots", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "new/plots" / name) for name in ALL]
    assert sorted(path.name for path in (tmp_path / "new/plots").iterdir()) == sorted(ALL)
    assert all(picture.startswith(PNG) for picture in contents(tmp_path).values())
    assert contents(trained) == before
    assert "Warning" not in done.stderr


def test_without_its_data_a_checkpoint_is_plotted_in_part(trained, tmp_path):
    """Catches an error although two pictures need no data, and pictures left out without a reason."""
    (trained / "words.txt").rename(trained / "words.away")
    done = run("plot", "--ckpt_path", "best", "--output", tmp_path / "plots", cwd=trained)
    (trained / "words.away").rename(trained / "words.txt")
    assert done.returncode == 0, done.stderr
    *written, left_out = done.stdout.splitlines()
    assert written == [str(tmp_path / "plots" / name) for name in ("embedding.png", "loss.png")]
    assert left_out.startswith("left out: bigrams.png (words.txt: no such file;")
    assert all(f"{name} (words.txt: no such file" in left_out for name in ("activations.png", "updates.png"))


def test_the_trial_steps_are_those_of_the_run(trained, tmp_path, monkeypatch):
    """Catches ignored clipping of the run, an ignored option, and updates on other data than the run's."""
    seen = []
    monkeypatch.chdir(trained)
    monkeypatch.setattr(
        "mm_lightning.commands.plot.TrialSteps",
        lambda trainer, *rest: (
            seen.append((trainer.accumulate_grad_batches, *trainer.clipping)) or TrialSteps(trainer, *rest)
        ),
    )
    options = ["plot", "--ckpt_path", "last", "--output", str(tmp_path)]
    main(options)
    main([*options, "--trainer.gradient_clip_val", "2", "--trainer.accumulate_grad_batches", "3"])
    assert seen == [(1, 0.01, None), (3, 2.0, None)]
    (tmp_path / "other.txt").write_text("\n".join(reversed(WORDS)))
    done = run(*options, "--data.path", tmp_path / "other.txt", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "left out: updates.png" in done.stdout
    assert "is not what this checkpoint was trained on" in done.stdout


def test_a_counted_network_has_its_bigrams_and_says_the_rest(tmp_path):
    """Catches a traceback for a network without weights, and pictures left out without a reason."""
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    config = ROOT / "configs/bigram_counts.yaml"
    assert run("fit", "--config", config, "--data.path", "words.txt", cwd=tmp_path).returncode == 0
    done = run("plot", "--ckpt_path", "last", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    written, left_out = done.stdout.splitlines()
    assert written == "plots/bigrams.png"
    assert "embedding.png (NGram has no embedding table)" in left_out
    assert "loss.png (" in left_out
    assert "has no curve of train/loss" in left_out
    assert "activations.png (NGram has no tanh units)" in left_out
    assert "updates.png (NGram does not learn by gradient)" in left_out
    (tmp_path / "words.txt").unlink()
    done = run("plot", "--ckpt_path", "last", "--output", "none", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: nothing to plot: embedding.png (")
    assert not (tmp_path / "none").exists()


def let_no_work_begin():
    """Let every picture fail."""
    from mm_lightning.commands import plot  # noqa: PLC0415 # in the child

    plot.Gallery = None


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("words.txt", "output: words.txt is a file; give the name of a folder"),
        ("words.txt/plots", "output: words.txt/plots cannot be written: Not a directory"),
    ],
)
def test_a_folder_that_cannot_be_written_is_an_error(trained, output, message):
    """Catches a traceback, a picture that replaces a file, and pictures that are made for no folder."""
    before = contents(trained)
    done = run("plot", "--ckpt_path", "last", "--output", output, cwd=trained, prepare=let_no_work_begin)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"error: {message}"
    assert contents(trained) == before
