"""The front door: commands as users type them, in a process of their own."""

import contextlib
import csv
import json
import os
import pickle
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
import torch
from run_command import FIT, ROOT, Command, run

from mm_lightning.commands.catalogue import COMMANDS
from mm_lightning.data.files.reading import read_items
from mm_lightning.data.splits import split_items

WORDS = [f"{a}{b}{c}" for a in "bdklmr" for b in ("a", "ei", "o", "u") for c in ("n", "lla", "s", "nna", "")]


def error_line(result, status):
    """The one line that an error is, after what Lightning logs; asserts that there is no traceback."""
    lines = result.stderr.splitlines()
    assert result.returncode == status, result.stderr
    assert "Traceback" not in result.stderr
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert lines[-1].startswith("error: ")
    return lines[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a finished run of 300 steps on small data, which then lose their file."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    result = run(*FIT, "--data.path", "words.txt", "--trainer.max_steps", 300, cwd=folder)
    assert result.returncode == 0, result.stderr
    (folder / "fit.out").write_text(result.stdout, encoding="utf-8")
    (folder / "words.txt").rename(folder / "words.away")
    return folder


def listing(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_fit_leaves_one_run_folder_and_says_what_to_do_next(trained):
    """Catches litter in the run folder, a lost config or a hint that names the wrong file."""
    run_folder = trained / "lightning_logs/version_0"
    assert [p.name for p in run_folder.parent.iterdir()] == ["version_0"]
    assert {p.name for p in (run_folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    assert (run_folder / "config.yaml").is_file()
    best, hint = (trained / "fit.out").read_text().splitlines()[-2:]
    assert re.fullmatch(r"best checkpoint: lightning_logs/version_0/checkpoints/best.ckpt \(val/loss \d\.\d{4}\)", best)
    assert hint.endswith("python -m mm_lightning predict --ckpt_path lightning_logs/version_0/checkpoints/best.ckpt")


def test_predict_prints_twenty_words_and_nothing_else(trained):
    """Catches logs on stdout, a need for the data file or a config, and a folder made by sampling."""
    before = listing(trained)
    result = run("predict", "--ckpt_path", "lightning_logs/version_0/checkpoints/best.ckpt", cwd=trained)
    assert result.returncode == 0, result.stderr
    words = result.stdout.splitlines()
    assert len(words) == 20
    assert all(words)
    assert set("".join(words)) <= set("".join(WORDS))
    assert listing(trained) == before


def test_predict_writes_files(trained, tmp_path):
    """Catches a format that cannot be read back, and a false `new`."""
    (trained / "words.away").rename(trained / "words.txt")
    for suffix in ("txt", "csv", "jsonl"):
        target = tmp_path / f"out.{suffix}"
        options = ("--sampling.num_samples", 30, "--sampling.unique", "true", "--sampling.output", target)
        result = run("predict", "--ckpt_path", "best", *options, cwd=trained)
        assert (result.returncode, result.stdout) == (0, ""), result.stderr
    (trained / "words.txt").rename(trained / "words.away")
    words = (tmp_path / "out.txt").read_text().splitlines()
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert len(set(words)) == 30
    assert [row["word"] for row in rows] == [line["word"] for line in lines] == words
    assert [float(row["nll"]) for row in rows] == [line["nll"] for line in lines]
    assert all(line["new"] for line in lines if line["word"] not in WORDS)
    assert any(not line["new"] for line in lines)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "out.jsonl", "out.txt"]


@pytest.mark.parametrize("words_to_terminal", [False, True])
def test_a_bar_counts_words_on_stderr(trained, words_to_terminal):
    """Catches a bar among the words, one that tears them where both are seen, or none where the words go elsewhere."""
    reader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    command = [sys.executable, "-m", "mm_lightning", "predict", "--ckpt_path", "last"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    stdout = terminal if words_to_terminal else subprocess.PIPE
    process = subprocess.Popen(command, cwd=trained, env=env, stdout=stdout, stderr=terminal, text=True)
    os.close(terminal)
    seen = b""
    with contextlib.suppress(OSError), os.fdopen(reader, "rb", buffering=0) as file:  # OSError: all writers are gone
        while part := file.read(1 << 16):
            seen += part
    words, _ = process.communicate()
    assert process.returncode == 0
    assert (b"/20 [" in seen) != words_to_terminal
    if not words_to_terminal:
        assert len(words.splitlines()) == 20
        assert set(words) <= {*"".join(WORDS), "\n"}


def test_too_few_words_are_written_and_said(trained):
    """Catches an endless search, and a shortfall passed over in silence."""
    greedy = ("--sampling.temperature", 0, "--sampling.unique", "true")
    result = run("predict", "--ckpt_path", "last", *greedy, cwd=trained)
    assert error_line(result, 1).startswith("error: found 1 of 20 items in 2048 samples")
    assert len(result.stdout.splitlines()) == 1


def test_validate_and_score_agree(trained):
    """Catches two definitions of the NLL: the mean over the dev words, weighted by characters, is val/loss."""
    (trained / "words.away").rename(trained / "words.txt")
    before = listing(trained)
    validated = run("validate", "--ckpt_path", "last", cwd=trained)
    assert validated.returncode == 0, validated.stderr
    dev = list(split_items(read_items(trained / "words.txt"), "lecture", "words.txt").dev)
    scored = run("score", "--ckpt_path", "last", *dev, cwd=trained)
    (trained / "words.txt").rename(trained / "words.away")
    rows = [line.split("\t") for line in scored.stdout.splitlines()]
    assert rows[0] == ["word", "nll", "nll_per_char"]
    assert [row[0] for row in rows[1:]] == dev
    mean = sum(float(row[1]) for row in rows[1:]) / sum(len(word) + 1 for word in dev)
    loss = float(re.search(r"val/loss\s+(\d\.\d+)", validated.stdout)[1])
    assert mean == pytest.approx(loss, abs=1e-4)
    (trained / "words.away").rename(trained / "words.txt")
    assert listing(trained) == before
    (trained / "words.txt").rename(trained / "words.away")


def test_score_names_characters_it_does_not_know(trained):
    """Catches one bad word that hides the others."""
    result = run("score", "--ckpt_path", "last", "ban", "zoë", cwd=trained)
    assert "'zoë' is not scored: not in the model's alphabet: 'z' 'ë'" in error_line(result, 1)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["word", "ban"]


def test_score_reads_a_file(trained, tmp_path):
    """Catches an ignored --input."""
    (tmp_path / "more.txt").write_text("ban\r\n\r\nkos\n")
    result = run("score", "--ckpt_path", "last", "--input", tmp_path / "more.txt", cwd=trained)
    assert [line.split("\t")[0] for line in result.stdout.splitlines()] == ["word", "ban", "kos"]


BAD_DATA = {
    "empty": (b"", "is empty"),
    "latin": ("café\nabc\n".encode("latin-1"), "is not UTF-8 (byte 0xe9 in line 1)"),
    "single": (b"one\n", "leaves the train split empty"),
    "long": (b"ab\n" * 20 + b"x" * 1001, "line 21 has 1001 characters"),
}


@pytest.mark.parametrize("kind", [*BAD_DATA, "missing", "folder"])
def test_unfit_data_are_one_line_and_leave_nothing(tmp_path, kind):
    """Catches a traceback, and a run folder made before the data were looked at."""
    path = tmp_path / "data.txt"
    message = {"missing": "no such file", "folder": "is a folder"}.get(kind) or BAD_DATA[kind][1]
    if kind == "folder":
        path.mkdir()
    elif kind != "missing":
        path.write_bytes(BAD_DATA[kind][0])
    before = listing(tmp_path)
    assert message in error_line(run(*FIT, "--data.path", path, cwd=tmp_path), 1)
    assert listing(tmp_path) == before


class Hostile:
    """Its unpickling would make a file."""

    def __reduce__(self):
        return (open, ("harm.txt", "w"))


def bad_checkpoint(kind, path, good):
    if kind == "truncated":
        path.write_bytes(good.read_bytes()[:30_000])
    elif kind == "text":
        path.write_text("no checkpoint")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Hostile()))
    elif kind == "folder":
        path.mkdir()
    elif kind in ("class", "string"):
        content = torch.load(good, weights_only=True)
        network = content["hyper_parameters"]["network"]
        network.update({"class_path": "os.mkdir"} if kind == "class" else {"init_args": {"block_size": "os.abort"}})
        torch.save(content, path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("truncated", "cannot be read as a checkpoint"),
        ("text", "cannot be read as a checkpoint"),
        ("pickle", "cannot be read as a checkpoint"),
        ("folder", "is a folder"),
        ("missing", "no such checkpoint"),
        ("class", "names os.mkdir, which is not part of this application"),
        ("string", "sets block_size to os.abort, which could name code to run"),
    ],
)
def test_unfit_checkpoints_are_one_line_and_run_nothing(trained, tmp_path, kind, message):
    """Catches a traceback, and code of a stranger."""
    path = tmp_path / "x.ckpt"
    bad_checkpoint(kind, path, trained / "lightning_logs/version_0/checkpoints/last.ckpt")
    before = listing(tmp_path)
    assert message in error_line(run("predict", "--ckpt_path", path, cwd=tmp_path), 1)
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        ((*FIT, "--nosuch", 3), 2, "unrecognized arguments: --nosuch=3"),
        ((*FIT, "--data.batch_size", "many"), 2, "data.batch_size"),
        ((*FIT, "--data.batch_size", 0), 2, "data.batch_size is 0"),
        ((*FIT, "--model.network.init_args.nosuch", 3), 2, "nosuch"),
        ((*FIT, "--data.block_size=3"), 1, "--data.block_size follows from --model.network.init_args.block_size"),
        ((*FIT, "--data.seed", 3), 1, "--data.seed follows from --seed_everything"),
        (("fit",), 2, "fit needs --config"),
        (("fit", "--config", "nosuch.yaml"), 2, "nosuch.yaml"),
        ((*FIT, "--ckpt_path", "last"), 1, "--ckpt_path last: no run in"),
        ((*FIT, "--trainer.default_root_dir", "/proc"), 1, "cannot make the run folder"),
        ((*FIT, "--trainer.precision", "16-mixed"), 1, "needs a GPU"),
        (("predict",), 2, "predict needs --ckpt_path"),
        (("nosuch",), 2, "no command nosuch; give one of make, fit, validate"),
        ((), 2, "give a command: make, fit, validate"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(tmp_path, args, status, message):
    """Catches pages of usage, a traceback, a silent fresh start for `last`, and half-made run folders."""
    assert message in error_line(run(*args, cwd=tmp_path), status)
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("predict", "--model.network.init_args.block_size", 4), "block_size is 4, but the checkpoint"),
        (("fit", "--model.network.init_args.hidden_dim", 7), "hidden_dim is 7, but the checkpoint"),
        (("predict", "--data.alphabet", "xy"), "data.alphabet is 'xy', but the checkpoint"),
        (("predict", "--sampling.min_length", 9, "--sampling.max_length", 8), "sampling.max_length is 8"),
        (("predict", "--sampling.prefix", "é"), "not in the model's alphabet: 'é'"),
        (("predict", "--sampling.output", "x.pdf"), "must end in .txt, .csv, .jsonl"),
        (("predict", "--trainer.enable_progress_bar", "true"), "predict has a bar of its own"),
        (("predict", "--sampling.only_new", "true"), "words.txt: no such file"),
        (("fit", "--data.path", str(ROOT / "data/names.txt")), "has characters that the model does not know"),
        (
            ("fit", "--data.path", "words.away", "--trainer.max_steps", 200),
            "has done 300 steps, and trainer.max_steps is",
        ),
    ],
)
def test_a_flag_that_the_checkpoint_contradicts_is_an_error(trained, args, message):
    """Catches a flag that is ignored, and a shape error from the depths of torch."""
    before = listing(trained)
    command, *options = args
    assert message in error_line(run(command, "--ckpt_path", "last", *options, cwd=trained), 1)
    assert listing(trained) == before


def test_resuming_a_complete_run_says_so_and_names_its_best(trained):
    """Catches closing lines that never come where a run was killed at its end, and a script that resumes for ever."""
    before = listing(trained)
    result = run("fit", "--ckpt_path", "last", "--data.path", "words.away", cwd=trained)
    assert result.returncode == 0, result.stderr
    assert "has done its 300 steps of 300; raise --trainer.max_steps to go on" in result.stderr
    assert [line.partition(":")[0] for line in result.stdout.splitlines()] == ["best checkpoint", "sample from it"]
    assert listing(trained) == before


def test_command_line_over_config_over_checkpoint(trained, tmp_path):
    """Catches a checkpoint that overrules what the user says (Lightning's own precedence)."""
    (tmp_path / "c.yaml").write_text("data: {batch_size: 7, split: unique}\n")
    args = ("validate", "--ckpt_path", "last", "--config", tmp_path / "c.yaml", "--data.split", "lecture")
    printed = run(*args, "--print_config", cwd=trained).stdout
    assert "batch_size: 7" in printed  # config over the checkpoint's 32
    assert "split: lecture" in printed  # command line over config
    assert "path: words.txt" in printed  # checkpoint over the default


@pytest.mark.parametrize(
    "signum", [*(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGINT, signal.SIGTERM)), signal.SIGKILL]
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path, signum):
    """Catches a checkpoint from the middle of a step, and anything that a dead process takes with it."""
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    options = (*FIT, "--data.path", "words.txt", "--trainer.max_steps", 3000, "--data.batch_size", 4)
    last = "checkpoints/last.ckpt"
    command = Command(*options, "--last.every_n_train_steps", 70, cwd=tmp_path)
    path = tmp_path / "lightning_logs/version_0" / last
    while not path.exists():
        assert command.process.is_alive(), command.wait().stderr
        time.sleep(0.01)
    os.kill(command.process.pid, signum)
    result = command.wait()
    assert result.returncode == {2: 130, 15: 143, 9: -9}[signum]
    if signum != signal.SIGKILL:
        assert "go on with: python -m mm_lightning fit --ckpt_path lightning_logs" in result.stderr.splitlines()[-1]
    stopped = torch.load(path, weights_only=True)["global_step"]
    assert 0 < stopped < 3000
    assert run(*options, "--ckpt_path", "last", cwd=tmp_path).returncode == 0
    assert run(*options, cwd=tmp_path).returncode == 0
    resumed, whole = (torch.load(tmp_path / f"lightning_logs/version_{i}" / last, weights_only=True) for i in (0, 1))
    assert resumed["global_step"] == whole["global_step"] == 3000
    assert all(torch.equal(resumed["state_dict"][key], value) for key, value in whole["state_dict"].items())


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + "\r\n".join(WORDS),
        "\n".join(f"{word}.com" for word in WORDS),
        "\n".join("".join(chr(0x5D0 + ord(c) % 22) for c in word) for word in WORDS),
        "\n".join("".join(("👩‍🚀", "😀", "🇫🇷", "é", "e\u0301")[ord(c) % 5] for c in word) for word in WORDS),
    ],
    ids=["bom-crlf", "dots", "hebrew", "emoji"],
)
def test_any_script_trains_samples_and_scores(tmp_path, text):
    """Catches an alphabet that does not survive the way through config, checkpoint and console."""
    (tmp_path / "data.txt").write_bytes(text.encode("utf-8"))
    assert run(*FIT, "--data.path", "data.txt", "--trainer.max_steps", 100, cwd=tmp_path).returncode == 0
    sampled = run("predict", "--ckpt_path", "last", cwd=tmp_path)
    words = sampled.stdout.splitlines()
    assert len(words) == 20, sampled.stderr
    assert set("".join(words)) <= set(text) - set("\ufeff\r\n")
    scored = run("score", "--ckpt_path", "last", *words[:5], cwd=tmp_path)
    assert [line.split("\t")[0] for line in scored.stdout.splitlines()[1:]] == words[:5]


def test_a_seed_of_ones_own(tmp_path):
    """Catches a seed that cannot be given, is not heeded, or is forgotten by the checkpoint."""
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    options = (*FIT, "--data.path", "words.txt", "--trainer.max_steps", 20)
    for seed in (7, 7, 8):
        done = run(*options, "--seed_everything", seed, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    paths = [tmp_path / f"lightning_logs/version_{i}/checkpoints/last.ckpt" for i in range(3)]
    first, again, other = (torch.load(path, weights_only=True) for path in paths)
    assert torch.equal(first["state_dict"]["network.output.bias"], again["state_dict"]["network.output.bias"])
    assert not torch.equal(first["state_dict"]["network.output.bias"], other["state_dict"]["network.output.bias"])
    assert first["datamodule_hyper_parameters"]["seed"] == 7
    assert "seed_everything is -1; give int from 0 to" in error_line(
        run(*options, "--seed_everything", -1, cwd=tmp_path), 2
    )


@pytest.mark.slow
@pytest.mark.parametrize("network", ["MLP", "GRU"])
def test_two_processes_equal_one_with_twice_the_batch(tmp_path, network):
    """Catches a shard of its own order, a loss averaged over the wrong share, and metrics of one rank only.

    Whole words are of different lengths, so that the processes have different numbers of targets. The blocks of both
    are of different sizes, so that no gradient is averaged per block.
    """
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    network = ("--model.network", f"mm_lightning.networks.{network}")
    options = (*FIT, *network, "--data.path", "words.txt", "--trainer.max_steps", 60, "--trainer.accelerator", "cpu")
    ddp = [sys.executable, "-m", "mm_lightning"]  # Lightning starts the second process from the first one's command

    def launch(*args):
        subprocess.run([*ddp, *map(str, args)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True)

    launch(*options, "--trainer.devices", 2, "--data.batch_size", 4, "--trainer.steps_per_execution", 7)
    single = ("--trainer.steps_per_execution", 1)
    assert run(*options, "--data.batch_size", 8, *single, cwd=tmp_path).returncode == 0
    more = ("--trainer.max_steps", 90)
    logs = tmp_path / "lightning_logs"
    launch("fit", "--ckpt_path", logs / "version_0/checkpoints/last.ckpt", *more)
    one = run("fit", "--ckpt_path", logs / "version_1/checkpoints/last.ckpt", *more, cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    ours, theirs = (torch.load(logs / f"version_{i}/checkpoints/last.ckpt", weights_only=True) for i in (0, 1))
    assert ours["global_step"] == theirs["global_step"] == 90
    for key, value in theirs["state_dict"].items():
        torch.testing.assert_close(ours["state_dict"][key], value, rtol=1e-4, atol=1e-5)
    best = [c["callbacks"]["best_checkpoint"] for c in (ours, theirs)]
    torch.testing.assert_close(best[0]["best_model_score"], best[1]["best_model_score"], rtol=1e-5, atol=1e-5)


def test_report_describes_the_shipped_names(tmp_path):
    """Catches shipped files that are found in the checkout only, and wrong counts."""
    result = run("report", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == "data/names.txt: 32,257 items, 29,693 different, 2,564 repeats"


def test_help_lists_the_commands_that_there_are(tmp_path):
    """Catches a command that nobody would find."""
    text = run("--help", cwd=tmp_path).stdout
    assert set(re.findall(r"^    (\w+) +[A-Z]", text, re.M)) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_every_argument_of_ours(tmp_path, command):
    """Catches an option without a word on what it does."""
    text = run(command, "--help", cwd=tmp_path).stdout
    entries = re.findall(
        r"^  (--(?:data|samples|last|histograms|sampling)\.\w+|--(?:ckpt_path|input|base|space|fixed|trials|sampler|"
        r"pruner|seed|storage|name|num_steps|num_samples|output)\b)[^\n]*\n?(.*?)(?=^  -|^\S|\Z)",
        text,
        re.M | re.S,
    )
    assert len(entries) >= (2 if command in ("report", "mix", "score") else 3)
    for option, description in entries:
        line = next(line for line in text.splitlines() if f"{line} ".startswith(f"  {option} "))
        said = (line.removeprefix(f"  {option}") + " " + description).split("(type:")[0]
        assert re.search(r"[a-z]{2,} [a-z]{2,}", said), option


def test_the_console_script_is_the_same_command(tmp_path):
    """Catches an entry point whose return value becomes the exit status, and that finds no class of the user."""
    script = Path(sys.executable).with_name("mm-lightning")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    own = ("--model.network", "own_net.Own", "--model.network.block_size", 3)
    options = [str(arg) for arg in (*FIT, *own, "--trainer.max_steps", 5, "--data.path", tmp_path / "words.txt")]
    (tmp_path / "words.txt").write_text("\n".join(WORDS))
    (tmp_path / "own_net.py").write_text("from mm_lightning.networks import MLP\nclass Own(MLP):\n    pass\n")
    result = subprocess.run([script, *options], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "MmLightningCLI" not in result.stderr


def test_a_reader_that_stops_early_is_no_error(trained):
    """Catches a complaint about the pipe under `predict | head -1`."""
    command = f"{sys.executable} -m mm_lightning predict --ckpt_path last --sampling.num_samples 30000 | head -1"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, shell=True, cwd=trained, env=env, capture_output=True, text=True, check=False)
    assert len(result.stdout.splitlines()) == 1
    assert "error" not in result.stderr
    assert "Traceback" not in result.stderr
