"""`compare` and `fit --seeds`, as a user runs them: groups, losses, judgement, picture, and errors of one line."""

import os
import re
import shutil
import signal
from pathlib import Path

import lightning.pytorch as pl
import pytest
from compare import equal
from run_command import FIT, Result, run

from mm_lightning.training import checkpoint
from mm_lightning.training.callbacks import LastCheckpoint

SHORT = ("--data.path", "words.txt", "--trainer.max_steps", 20, "--data.batch_size", 16, "--samples.num_samples", 1)
NO_SAMPLES = ("--num_samples", 0)


@pytest.fixture(scope="module")
def folder(words_elsewhere: Path) -> Path:
    """A folder with version_0 and 1, of two seeds, and version_2, of another network and one seed."""
    folder = words_elsewhere.parent
    for options in (("--seeds", 2), ("--model.network.init_args.hidden_dim", 20)):
        done = run(*FIT, *SHORT, *options, cwd=folder)
        assert done.returncode == 0, done.stderr
        (folder / f"{options[0].strip('-')}.out").write_text(done.stdout, encoding="utf-8")
    return folder


def last_error(done: Result) -> str:
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def losses_of(folder: Path, version: int) -> float:
    content = checkpoint.load(folder / f"lightning_logs/version_{version}/checkpoints/best.ckpt")
    return float(content["callbacks"][checkpoint.BEST_CHECKPOINT]["best_model_score"])


def test_each_seed_is_the_run_of_its_own_command(folder: Path, tmp_path: Path):
    """Catches random state or threads that one seed's run leaves to the next, and a config that trains more seeds."""
    (tmp_path / "words.txt").write_bytes((folder / "words.txt").read_bytes())
    done = run(*FIT, *SHORT, "--seed_everything", 43, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    path = "lightning_logs/version_{}/checkpoints/last.ckpt"
    one, other = (checkpoint.load(place) for place in (tmp_path / path.format(0), folder / path.format(1)))
    assert equal(one["state_dict"], other["state_dict"])
    configs = [
        (place / "config.yaml").read_text()
        for place in (tmp_path / "lightning_logs/version_0", folder / "lightning_logs/version_1")
    ]
    assert configs[0] == configs[1]


def test_seeds_end_with_their_spread(folder: Path):
    """Catches a mean or a deviation of other losses, and a command that names other runs."""
    *_, spread, command = (folder / "seeds.out").read_text().splitlines()
    first, second = (losses_of(folder, version) for version in (0, 1))
    deviation = abs(first - second) / 2**0.5
    assert spread == f"val/loss of 2 seeds: mean {(first + second) / 2:.4f}, standard deviation {deviation:.4f}"
    assert command.endswith("compare lightning_logs/version_0 lightning_logs/version_1")
    assert "seeds" not in (folder / "model.network.init_args.hidden_dim.out").read_text()


def _stop_at_step_10() -> None:
    between_steps = LastCheckpoint.between_steps

    def stopped(self: LastCheckpoint, trainer: pl.Trainer) -> None:
        if trainer.global_step == 10:
            os.kill(os.getpid(), signal.SIGTERM)
        between_steps(self, trainer)

    LastCheckpoint.between_steps = stopped  # type: ignore[method-assign]


def test_after_a_stop_the_rest_of_the_seeds_is_named(words: Path):
    """Catches seeds that go on after a stop signal, and seeds that are lost or trained twice after it."""
    done = run(
        *FIT, *SHORT, "--trainer.steps_per_execution", 1, "--seeds", 3, cwd=words.parent, prepare=_stop_at_step_10
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert "\nseeds not begun: 2; train them: the same command with --seed_everything=43 --seeds=2\n" in done.stderr
    assert done.stderr.splitlines()[-1].endswith("fit --ckpt_path lightning_logs/version_0/checkpoints/last.ckpt")
    assert [path.name for path in (words.parent / "lightning_logs").iterdir()] == ["version_0"]


def test_the_comparison_of_two_groups(folder: Path, tmp_path: Path):
    """Catches wrong groups or losses, a setting that is hidden or made up, and a picture that is none."""
    done = run(
        "compare", 0, "lightning_logs/version_1", 2, "--num_samples", 100, "--output", tmp_path / "c.png", cwd=folder
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines[:7]] == [
        ["group", "runs", "seeds"],
        ["A", "version_0,", "version_1", "42,", "43"],
        ["B", "version_2", "42"],
        [],
        ["settings", "that", "differ", "A", "B"],
        ["model.network.init_args.hidden_dim", "200", "20"],
        [],
    ]
    losses = {line.split()[0]: line.split() for line in lines[9:11]}
    first, second, third = (losses_of(folder, version) for version in range(3))
    assert float(losses["A"][4]) == pytest.approx((first + second) / 2, abs=1e-4)
    assert float(losses["A"][6]) == pytest.approx(abs(first - second) / 2**0.5, abs=1e-4)
    assert float(losses["B"][4]) == pytest.approx(third, abs=1e-4)
    assert "±" not in losses["B"]
    assert "test_hits" not in done.stdout
    assert "test, unseen" not in done.stdout
    (new,) = [line.split() for line in lines if line.startswith("new ")]
    assert len(new) == 3
    difference = abs(third - (first + second) / 2)
    (judged,) = [line for line in lines if line.startswith("dev: ")]
    assert re.match(rf"dev: [AB] is {difference:.4f} above [AB], (no )?more than the spread of seeds \(p ", judged)
    assert judged.endswith("by the spread of A, as B has one seed)")
    assert lines[-1] == str(tmp_path / "c.png")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_test_is_measured_only_on_request(folder: Path):
    """Catches a look at the test split that nobody asked for, and one that is refused."""
    for options, has_test in (((), False), (("--test", "true"), True)):
        done = run("compare", 0, 2, *NO_SAMPLES, *options, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert ("test, unseen" in done.stdout) == has_test
        assert "one seed cannot tell" in done.stdout


def test_other_data_are_not_comparable(folder: Path, tmp_path: Path):
    """Catches a judgement across different data, and data that are other than those of the run."""
    shutil.copytree(folder / "lightning_logs/version_0", tmp_path / "lightning_logs/version_0")
    words = (folder / "words.txt").read_text().splitlines()
    (tmp_path / "words.txt").write_text("\n".join(words), encoding="utf-8")
    (tmp_path / "fewer.txt").write_text("\n".join(words[3:]), encoding="utf-8")
    assert run(*FIT, *SHORT, "--data.path", "fewer.txt", cwd=tmp_path).returncode == 0
    done = run("compare", 0, 1, *NO_SAMPLES, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\nnot comparable: the data, the split or the tokens differ between A; B\n" in done.stdout
    assert "above" not in done.stdout
    assert re.search(r"^data.path +words.txt +fewer.txt$", done.stdout, re.M)
    done = run("compare", 0, 1, *NO_SAMPLES, "--data.path", "words.txt", cwd=tmp_path)
    assert "version_1/checkpoints/best.ckpt was trained on" in last_error(done)
    (tmp_path / "words.txt").rename(tmp_path / "moved.txt")
    assert "compare needs the training items (--data.path)" in last_error(
        run("compare", 0, 1, *NO_SAMPLES, cwd=tmp_path)
    )


def test_an_unfinished_run_is_named(folder: Path, tmp_path: Path):
    """Catches a stopped run that is compared as if it were complete."""
    for version in (0, 1):
        shutil.copytree(folder / f"lightning_logs/version_{version}", tmp_path / f"lightning_logs/version_{version}")
    path = tmp_path / "lightning_logs/version_1/checkpoints/last.ckpt"
    checkpoint.save({**checkpoint.load(path), "global_step": 7}, path)
    done = run("compare", 0, 1, *NO_SAMPLES, "--data.path", folder / "words.txt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "\nversion_1 has done 7 of 20 steps\n" in done.stdout
    assert "no setting differs but the seed" in done.stdout


def test_errors_are_one_line(folder: Path):
    """Catches a traceback, a run that is taken for another, and a picture left behind."""
    (folder / "empty").mkdir()
    (folder / "damaged.ckpt").write_bytes(b"PK damaged")
    for args, message in (
        ((0,), "compare needs two runs or more, and 0 is one; give another"),
        (
            (0, "empty"),
            "empty is a folder without checkpoints/best.ckpt and last.ckpt; give a run folder, its number in",
        ),
        ((0, 9), "lightning_logs/version_9 does not exist; give a run folder, its number in lightning_logs, or a"),
        ((0, "x" * 300), f"{'x' * 300}: File name too long; give a run folder"),
        (
            (0, "damaged.ckpt"),
            "damaged.ckpt cannot be read as a checkpoint: damaged, cut short, or no checkpoint at all",
        ),
        ((0, "words.txt"), "words.txt cannot be read as a checkpoint: damaged, cut short, or no checkpoint at all"),
        ((0, 1, "version_0"), "version_0 and version_0 have the same settings and the same seed, 42; leave one out"),
        ((0, 1, "--output", "c.pdf"), "output is c.pdf; its name must end in .png"),
    ):
        assert last_error(run("compare", *args, *NO_SAMPLES, cwd=folder)).startswith(message)
    done = run("fit", "--ckpt_path", "last", "--seeds", 2, cwd=folder)
    assert re.match(r"--seeds 2 trains new runs, and --ckpt_path \S+ resumes one; leave one out", last_error(done))
    assert not (folder / "c.pdf").exists()
