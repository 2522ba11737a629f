"""Commands on several devices: the same output as on one device, written once, and an end of all processes."""

import os
import re
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest
from reliability.test_processes import LIMIT_SECONDS, launch, wait_until
from run_command import ROOT, run

slow = pytest.mark.slow
ONE = ("--trainer.accelerator", "cpu", "--trainer.devices", 1)
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m")


@pytest.fixture
def model(names_run):
    """Options of the model of a run, and of its data, for a command in another folder."""
    path = names_run / "lightning_logs/version_0/checkpoints/best.ckpt"
    return ("--ckpt_path", path, "--data.path", names_run / "words.txt")


@pytest.fixture
def several(tmp_path):
    """Runs a command in several processes; no process is left after the test."""
    started = []

    def start(*args, devices=2):
        started.append(launch(*args, cwd=tmp_path, devices=devices))
        return started[-1]

    yield start
    for ranks in started:
        ranks.end()


def python(*args, cwd, stdout=subprocess.PIPE):
    """Result of Python with these arguments."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    outputs = {"stdout": stdout, "stderr": subprocess.PIPE, "text": True}
    return subprocess.run([sys.executable, *map(str, args)], cwd=cwd, env=env, timeout=240, check=False, **outputs)


def torchrun(*args, cwd):
    """Result of a command in two processes that torchrun starts."""
    return python("-m", *TORCHRUN, "mm_lightning", *args, cwd=cwd)


def sampling(**options):
    return [text for name, value in options.items() for text in (f"--sampling.{name}", value)]


SAMPLES = {
    "columns of new items": sampling(num_samples=2500, only_new="true", unique="true", output="items.csv"),
    "plain": sampling(num_samples=5000),
    "sorted": sampling(num_samples=3000, sort="likelihood", show_nll="true"),
    "rejection": sampling(num_samples=3000, prefix="a", exclude="xx", seed=3),
    "exact": sampling(num_samples=3000, suffix="na", contains="l"),
    "beam": sampling(num_samples=100, beam=100),
    "a limit": (*sampling(num_samples=9000, output="items.jsonl"), "--trainer.limit_predict_batches", 3),
}


@pytest.mark.parametrize(
    "options", [pytest.param(SAMPLES[key], marks=slow if i else (), id=key) for i, key in enumerate(SAMPLES)]
)
def test_several_devices_sample_the_items_of_one(model, several, tmp_path, options):
    """Catches items twice, in another order, by other rounding or by two writers, and an error twice."""
    one = run("predict", *model, *options, *ONE, cwd=tmp_path)
    written = [path.read_bytes() for path in tmp_path.glob("items.*")]
    assert written or one.stdout
    many = several("predict", *model, *options).wait()
    assert many.returncode == one.returncode, many.stderr
    assert many.stdout == one.stdout
    assert [path.read_bytes() for path in tmp_path.glob("items.*")] == written
    assert "Traceback" not in many.stderr
    assert many.stderr.count("error: ") == one.stderr.count("error: ")


@slow
def test_several_devices_sample_the_labels_of_one(words, several, tmp_path):
    """Catches labels, likelihoods or news of other items."""
    lines = [f"{item},{'ab'[i % 3 == 0]}" for i, item in enumerate(words.read_text().splitlines())]
    (tmp_path / "words.csv").write_text("\n".join(["item,label", *lines]))
    data = ("--data.path", "words.csv", "--data.item", "item", "--data.label", "label")
    fitted = run("fit", "--config", ROOT / "configs/mlp_labels.yaml", *data, "--trainer.max_steps", 30, cwd=tmp_path)
    assert fitted.returncode == 0, fitted.stderr
    options = ("predict", "--ckpt_path", "last", *sampling(num_samples=4000, output="items.csv"))
    assert run(*options, *ONE, cwd=tmp_path).returncode == 0
    written = (tmp_path / "items.csv").read_bytes()
    assert several(*options).wait().returncode == 0
    assert (tmp_path / "items.csv").read_bytes() == written
    one = run("score", "--ckpt_path", "last", *words.read_text().split(), *ONE, cwd=tmp_path)
    assert several("score", "--ckpt_path", "last", *words.read_text().split()).wait().stdout == one.stdout
    for command in ("validate", "test"):  # 3 or 4 items, of labels that some process has none of
        one = run(command, "--ckpt_path", "last", *ONE, cwd=tmp_path)
        many = several(command, "--ckpt_path", "last", devices=3).wait()
        assert losses(many) == pytest.approx(losses(one), rel=1e-6)
        assert len(losses(one)) >= 5


def losses(result):
    assert result.returncode == 0, result.stderr
    rows = re.findall(r"((?:val|test)/\w+)\W+([\d.]+)", result.stdout)
    return {name: float(value) for name, value in rows}


@slow
def test_scores_of_several_devices_are_those_of_one(model, several, tmp_path):
    """Catches items that one process leaves out, and an order of its own."""
    items = ["".join(letters) for letters in product("aeiklmno", repeat=5)][: 3 * 4096 - 5]
    (tmp_path / "items.txt").write_text("\n".join([*items, "Ünseen"]))
    options = ("score", *model[:2], "--input", "items.txt")
    one = run(*options, *ONE, cwd=tmp_path)
    many = several(*options).wait()
    assert many.stdout == one.stdout
    assert len(one.stdout.splitlines()) == len(items) + 1
    assert many.returncode == one.returncode == 1
    assert many.stderr.count("'Ünseen' is not scored") == 1


@slow
def test_quality_of_several_devices_is_that_of_one(model, several, tmp_path):
    """Catches samples of one process alone, and a table or a file twice."""
    options = ("quality", *model, "--num_samples", 5000, "--output", "quality.json")
    one = run(*options, *ONE, cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    written = (tmp_path / "quality.json").read_bytes()
    many = several(*options).wait()
    assert many.returncode == 0, many.stderr
    assert many.stdout == one.stdout
    assert (tmp_path / "quality.json").read_bytes() == written


@slow
def test_too_few_items_are_one_error(model, several, tmp_path):
    """Catches an error per process, a process that waits for more items, and found items that are not written."""
    ranks = several("predict", *model, *sampling(num_samples=500, unique="true", max_length=1))
    wait_until(lambda: len(ranks.pids) == 2)
    result = ranks.wait(ranks.pids)
    one = run("predict", *model, *sampling(num_samples=500, unique="true", max_length=1), *ONE, cwd=tmp_path)
    assert result.returncode == one.returncode == 1
    assert result.stdout == one.stdout != ""
    assert result.stderr.count("error: found ") == 1


@slow
@pytest.mark.parametrize(("signum", "rank"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, 1)])
def test_sampling_ends_in_all_processes(model, several, tmp_path, signum, rank):
    """Catches a process that waits for another one, part of a file, and a line per process."""
    ranks = several("predict", *model, *sampling(num_samples=99_000_000, output="items.txt"))
    wait_until(lambda: (path := tmp_path / ".items.txt.partial").is_file() and path.stat().st_size > 0)
    pids = ranks.pids
    os.kill(pids[rank], signum)
    ended = ranks.wait(pids, LIMIT_SECONDS)
    assert ended.returncode == (1 if rank else 128 + signum)
    lines = [line for line in ended.stderr.splitlines() if line.startswith(("stopped by", "error"))]
    assert len(lines) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list(tmp_path.glob("*items.txt*"))


@slow
def test_a_full_disk_ends_all_processes(model, tmp_path):
    """Catches processes that wait for one whose output cannot be written."""
    options = (*sampling(num_samples=99_000_000), "--trainer.accelerator", "cpu", "--trainer.devices", "2")
    begin = time.monotonic()
    with Path("/dev/full").open("w") as full:
        result = python("-m", "mm_lightning", "predict", *model, *options, cwd=tmp_path, stdout=full)
    assert time.monotonic() - begin < LIMIT_SECONDS
    assert result.returncode == 1
    assert result.stderr.count("error: standard output cannot be written: No space left on device") == 1


@slow
def test_torchrun_samples_the_items_of_one_device(model, tmp_path):
    """Catches items of each process, in torchrun's own order."""
    options = ("predict", *model, *sampling(num_samples=5000), "--trainer.accelerator", "cpu")
    many = torchrun(*options, cwd=tmp_path)
    assert many.returncode == 0, many.stderr
    assert many.stdout == run(*options, "--trainer.devices", 1, cwd=tmp_path).stdout


@slow
@pytest.mark.parametrize("command", ["plot", "report", "fit"])
def test_under_torchrun_one_process_works_alone(model, names_run, tmp_path, command):
    """Catches a process that waits for the others, and work that is done twice."""
    counted = ("--config", ROOT / "configs/bigram_counts.yaml", *model[2:])
    options = {"plot": model, "report": model[2:], "fit": counted}[command]
    result = torchrun(command, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    work = "fit by counting" if command == "fit" else command
    assert result.stderr.count(f"{work} uses one device; 1 of 2 processes have nothing to do") == 1
    one = run(command, *options, cwd=tmp_path)
    assert result.stdout == one.stdout.replace("version_1", "version_0")
