"""`mix`, as a user runs it: weights, losses, the checkpoint in every command, and errors of one line."""

import re
from pathlib import Path

import pytest
import torch
from run_command import FIT, ROOT, Result, run

from mm_lightning import load
from mm_lightning.training import checkpoint

SHORT = ("--data.path", "words.csv", "--data.item", "word", "--data.weight", "count", "--samples.num_samples", 1)
COUNTED = ("fit", "--config", ROOT / "configs/ngram.yaml")
ROW = re.compile(r"  (\d\.\d+) \((\d\.\d+) on unseen items\) +(\d\.\d\d)  (.*)")


@pytest.fixture(scope="module")
def folder(words_elsewhere: Path) -> Path:
    """A folder with an MLP as version_0, counts as version_1, both on words with weights, and their mixture."""
    folder = words_elsewhere.parent
    rows = [f"{word},{1 + number % 3}" for number, word in enumerate(words_elsewhere.read_text().splitlines())]
    (folder / "words.csv").write_text("\n".join(["word,count", *rows]), encoding="utf-8")
    for command in ((*FIT, "--trainer.max_steps", 300), COUNTED):
        done = run(*command, *SHORT, cwd=folder)
        assert done.returncode == 0, done.stderr
    done = run("mix", 0, 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "mix.out").write_text(done.stdout, encoding="utf-8")
    return folder


def losses(done: Result) -> tuple[float, float]:
    """The losses of `validate`, of all items and of unseen ones."""
    assert done.returncode == 0, done.stderr
    found = dict(re.findall(r"val/(loss\w*) +(\d+\.\d+)", done.stdout))
    return float(found["loss"]), float(found["loss_unseen"])


def test_the_losses_are_those_of_validate(folder: Path):
    """Catches a mixture that is saved with other weights or networks than measured, and losses of another split."""
    lines = (folder / "mix.out").read_text().splitlines()
    rows = [match.groups() for line in lines if (match := ROW.fullmatch(line))]
    assert [name for *_, name in rows] == ["version_0", "version_1"]
    assert all(0 < float(weight) <= 1 for _, _, weight, _ in rows)
    mixed = re.search(r"of the mixture: (\S+) \((\S+) on unseen", lines[3])
    assert mixed is not None
    shown = [(float(row[0]), float(row[1])) for row in rows] + [(float(mixed[1]), float(mixed[2]))]
    paths = [f"lightning_logs/version_{i}/checkpoints/best.ckpt" for i in (0, 1)] + ["mixture.ckpt"]
    for path, expected in zip(paths, shown, strict=True):
        assert losses(run("validate", "--ckpt_path", path, cwd=folder)) == pytest.approx(expected, abs=6e-5)
    assert shown[2][0] < min(shown[0][0], shown[1][0])
    assert [line for line in lines if line.startswith("val/loss") and "weighted by count" not in line] == []


def test_the_checkpoint_is_a_model_like_any_other(folder: Path):
    """Catches a mixture without the advance of a network, or with an order of networks of its own."""
    command = (folder / "mix.out").read_text().splitlines()[-1].partition("mm_lightning ")[2].split()
    done = run(*command, "--sampling.num_samples", 5, "--sampling.prefix", "a", cwd=folder)
    assert done.returncode == 0, done.stderr
    items = done.stdout.split()
    assert len(items) == 5
    assert all(item.startswith("a") for item in items)
    assert run("fit", "--ckpt_path", "mixture.ckpt", cwd=folder).stderr.splitlines()[-1] == (
        "error: Mixture is made of trained networks; fit trains them one by one"
    )


def test_a_mixture_of_before_is_still_read(folder: Path):
    """Catches weights of a sum that are taken as powers."""
    content = checkpoint.load(folder / "mixture.ckpt")
    arguments = content["hyper_parameters"]["network"]["init_args"]
    del arguments["geometric"]
    weights, slopes = [0.4, 0.6], [-0.5, 0.2]
    arguments |= {"weights": weights, "entropy_slopes": slopes}
    checkpoint.save(content, folder / "before.ckpt")
    x = torch.tensor([[0, 1, 2]])
    paths = [f"lightning_logs/version_{number}/checkpoints/best.ckpt" for number in (0, 1)]
    parts = [load(folder / path).network.next_logits(x).double().softmax(1) for path in paths]
    shares = [w * (s * torch.special.entr(p).sum()).exp() for w, s, p in zip(weights, slopes, parts, strict=True)]
    expected = (shares[0] * parts[0] + shares[1] * parts[1]) / (shares[0] + shares[1])
    torch.testing.assert_close(load(folder / "before.ckpt").network.next_logits(x).exp(), expected)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ((0,), "mix needs two runs or more, and 0 is one; give another"),
        ((0, 0), "the runs 0, 0 have a checkpoint twice; give each once"),
        ((0, 99), "lightning_logs/version_99 does not exist; give a run folder, its number in lightning_logs, or a"),
        ((0, 1, "--output", "x.txt"), "output is x.txt; its name must end in .ckpt"),
        ((0, 1, "--data.path", "other.txt"), "mix needs the training items"),
    ],
)
def test_an_error_is_one_line(folder: Path, runs: tuple[object, ...], message: str):
    """Catches a traceback, and an error after minutes of work."""
    done = run("mix", *runs, cwd=folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("output", ["mixture.ckpt", "lightning_logs/version_1/checkpoints/last.ckpt"])
def test_no_checkpoint_of_a_run_or_an_input_is_overwritten(folder: Path, output: str):
    """Catches a trained model that is gone without a word."""
    before = (folder / output).read_bytes()
    done = run("mix", "mixture.ckpt", 0, "--output", output, cwd=folder)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: --output {output} is a checkpoint of a run, or a network of the mixture; give another file\n"
    )
    assert (folder / output).read_bytes() == before


def test_runs_of_other_data_are_refused(folder: Path, tmp_path: Path):
    """Catches weights that are found on items which one of the networks has learned."""
    header, _, *others = (folder / "words.csv").read_text().splitlines()
    (tmp_path / "words.csv").write_text("\n".join([header, *others]))
    done = run(*COUNTED, *SHORT, "--data.path", tmp_path / "words.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    other = tmp_path / "lightning_logs/version_0"
    done = run("mix", 0, other, "--output", tmp_path / "x.ckpt", cwd=folder)
    assert done.stderr.splitlines()[-1].endswith("differ in data, split, tokens or labels; mix runs of one")
    assert not (tmp_path / "x.ckpt").exists()


def test_the_record_tells_how_the_mixture_came_about(folder: Path):
    """Catches a model card that claims a config, which there is not."""
    record = checkpoint.load(folder / "mixture.ckpt")[checkpoint.MADE]
    assert record["command"] == "mix RUN RUN"
    assert record["lines"] == (folder / "mix.out").read_text().splitlines()[:4]
