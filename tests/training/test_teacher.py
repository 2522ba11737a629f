"""A network that learns from a trained one: targets, blocks, resuming, and errors of one line."""

from contextlib import chdir
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from compare import equal
from run_command import FIT, ROOT, run
from torch.nn import functional as F

from mm_lightning import load
from mm_lightning.data.encoding import EncodedItems, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import cross_entropy, num_targets

SHORT = ("--data.path", "words.txt", "--data.batch_size", 5, "--samples.num_samples", 1)
MLP_RUN = (*FIT, *SHORT, "--trainer.max_steps", 60)
LSTM_RUN = ("fit", "--config", ROOT / "configs/lstm.yaml", *SHORT, "--trainer.max_steps", 40)
TEACHER = ("--teacher", "teacher/lightning_logs/version_0/checkpoints/best.ckpt")


@pytest.fixture(scope="module")
def folder(words_elsewhere: Path) -> Path:
    """A folder with counts as a teacher."""
    folder = words_elsewhere.parent
    counted = ("fit", "--config", ROOT / "configs/ngram.yaml", "--data.path", "words.txt")
    done = run(*counted, "--trainer.default_root_dir", "teacher", "--samples.num_samples", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def fit(folder: Path, *options: object) -> dict[str, object]:
    """Run a fit, and return the content of its last checkpoint."""
    done = run(*options, cwd=folder)
    assert done.returncode == 0, done.stderr
    return torch.load(newest_run(folder) / "checkpoints/last.ckpt", weights_only=True)  # type: ignore[no-any-return]


def newest_run(folder: Path) -> Path:
    return max((folder / "lightning_logs").glob("version_*"), key=lambda path: int(path.name.split("_")[1]))


def taught(vocabulary: Vocabulary) -> tuple[EncodedItems, EncodedItems]:
    """Items, and the same items with their ids as soft targets."""
    items = encode(Items.from_strings(["abca", "d", "", "cab"]), vocabulary)
    return items, replace(items, soft_targets=F.one_hot(items.stream.long(), items.vocab_size).half())


def test_certain_probabilities_are_targets(vocabulary: Vocabulary):
    """Catches soft targets of another place, padding that counts, and a mean over another number of targets."""
    items, soft = taught(vocabulary)
    rows = torch.tensor([3, 0, 2, 1])
    generator = torch.Generator().manual_seed(0)
    for kind in (lambda each: Windows(each, 3), PaddedItems):
        (x, y), (soft_x, soft_y) = kind(items).gather(rows), kind(soft).gather(rows)
        logits = torch.randn(*y.shape, items.vocab_size, generator=generator)
        assert torch.equal(x, soft_x)
        torch.testing.assert_close(cross_entropy(logits, soft_y), cross_entropy(logits, y))
        assert int(num_targets(soft_y)) == int(num_targets(y))


@pytest.mark.parametrize("command", [MLP_RUN, LSTM_RUN])
def test_blocks_are_single_steps(folder: Path, command: tuple[object, ...]):
    """Catches blocks that learn from the targets alone, and shapes that only single steps can take."""
    options = (*TEACHER, "--teacher_items", 30, "--trainer.compile", "false", "--trainer.steps_per_execution")
    single, blocks = (fit(folder, *command, *options, k) for k in (1, 7))
    assert equal(single["state_dict"], blocks["state_dict"])
    assert not equal(single["state_dict"], fit(folder, *command)["state_dict"])


def test_a_resumed_run_keeps_its_teacher(folder: Path):
    """Catches a run that goes on without its teacher, with other items of it, or with a teacher that is put away."""
    options = (*TEACHER, "--teacher_items", 30, "--trainer.steps_per_execution", 7, "--trainer.compile", "false")
    whole = fit(folder, *MLP_RUN, *options)
    fit(folder, *MLP_RUN, *options, "--trainer.max_steps", 25)
    resumed = fit(folder, "fit", "--ckpt_path", "last", *TEACHER, "--trainer.max_steps", 60)
    for key in ("state_dict", "optimizer_states", "global_step", "train_loss"):
        assert equal(whole[key], resumed[key]), key
    path = ("--ckpt_path", newest_run(folder) / "checkpoints/last.ckpt")
    plotted = run("plot", *path, "--output", "plots", cwd=folder)
    assert f"learned from {TEACHER[1]} too, which these steps would leave out" in plotted.stdout + plotted.stderr
    assert not (folder / "plots/updates.png").exists()
    rates = ("lr_find", "--config", newest_run(folder) / "config.yaml", "--num_steps", 100, "--output", "lr.png")
    assert "without which this range test learns" in run(*rates, cwd=folder).stderr
    for step, (name, value) in enumerate((("teacher_items", "0"), ("teacher", "null")), 61):
        fit(folder, "fit", "--ckpt_path", "last", f"--{name}", value, "--trainer.max_steps", step)
        assert f"\n{name}: {value}\n" in (newest_run(folder) / "config.yaml").read_text()


def test_the_student_is_closer_to_its_teacher(folder: Path):
    """Catches probabilities of other items, or of other tokens, in place of the targets."""
    probabilities = []
    for more in (None, (*TEACHER, "--teacher_items", 500), ()):
        path = TEACHER[1]
        if more is not None:
            fit(folder, *MLP_RUN, "--trainer.max_steps", 400, "--trainer.compile", "false", *more)
            path = str(newest_run(folder) / "checkpoints/last.ckpt")
        network = load(folder / path).network
        with torch.no_grad():
            probabilities.append(network.sequence_logits(torch.tensor([[0, 3, 1, 7], [0, 4, 1, 9]])).softmax(-1))
    teacher, student, other = probabilities
    assert (student - teacher).abs().mean() < 0.5 * (other - teacher).abs().mean()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--teacher_items", 5), "--teacher_items is 5, but there is no teacher; give --teacher"),
        (("--teacher", "none.ckpt"), "none.ckpt: no such checkpoint"),
        ((*TEACHER, "--data.path", "other.txt"), f"{TEACHER[0]} {TEACHER[1]} has other tokens than the data here"),
        ((*TEACHER, "--teacher_items", 10**12), f"{TEACHER[0]} {TEACHER[1]}: its probabilities of 11 tokens take"),
    ],
)
def test_an_error_is_one_line(folder: Path, options: tuple[object, ...], message: str):
    """Catches a traceback, a teacher of other tokens, and a run folder that is left behind."""
    (folder / "other.txt").write_text("xy\nyx\nxx\nxyx\nyyx\nyxy\nxxy\nyxx\nxyy\nyy\n")
    before = sorted((folder / "lightning_logs").glob("*")) if (folder / "lightning_logs").exists() else []
    done = run(*MLP_RUN, *options, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    with chdir(folder):
        assert before == ([p.resolve() for p in sorted(Path("lightning_logs").glob("*"))] if before else [])


def test_other_commands_have_no_teacher(folder: Path):
    """Catches an option that is ignored without a word."""
    done = run("validate", *TEACHER, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("it is an option of fit")
