"""The export command, as a user runs it: what it writes, what it refuses, and that nothing is left after a refusal."""

import getpass
import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from run_command import ROOT, Result, run

from mm_lightning import UserError
from mm_lightning.commands.export import _check_weights

FORMATS = ("html", "onnx", "pt2", "safetensors")
CHECKPOINT = "lightning_logs/version_0/checkpoints/best.ckpt"


@pytest.fixture(scope="module")
def exports(names_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that began from another and has a callback with paths, and its exports in every format."""
    folder = tmp_path_factory.mktemp("exports")
    shutil.copytree(names_run, folder, dirs_exist_ok=True)
    saver = "lightning.pytorch.callbacks.ModelCheckpoint"
    options = ("--trainer.max_steps", 8, "--trainer.callbacks+", saver, "--data.path", "words.txt")
    done = run("fit", "--init_from", "best", *options, cwd=folder)
    assert done.returncode == 0, done.stderr
    for format in FORMATS:
        name = "names" if format == "safetensors" else f"names.{format}"
        done = run("export", "--ckpt_path", "best", "--format", format, "--output", name, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(name)
    return folder


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_nothing_says_where_it_was_made(exports: Path):
    """Catches a path, a user's or a machine's name in a file that is given away."""
    names = [*exports.glob("names*"), *exports.rglob("*.ckpt")]
    files = [file for path in names for file in (files_of(path) if path.is_dir() else [path])]
    cards, folder = len(FORMATS), 2
    assert len([path for path in files if path.suffix != ".ckpt"]) == len(FORMATS) - 1 + folder + cards
    assert len([path for path in files if path.suffix == ".ckpt"]) >= 5
    secrets = [str(exports), str(Path.home()) + "/", str(ROOT), sys.prefix, f"/{getpass.getuser()}/", "site-packages"]
    host = rf"(?<![a-z]){re.escape(socket.gethostname())}(?![a-z])" if len(socket.gethostname()) > 3 else None
    for path in files:
        content = path.read_bytes()
        assert [secret for secret in secrets if secret.encode() in content] == [], path
        assert host is None or re.search(host.encode(), content) is None, path


def test_a_card_names_what_lies_beside_it(exports: Path):
    """Catches the card of a page or a program that is verified beside weights that are not there."""
    for name in ("names.html", "names.onnx", "names.pt2"):
        card = (exports / f"{name}.card.md").read_text(encoding="utf-8")
        assert name in card
        assert "verify CARD --ckpt_path CHECKPOINT" in card
        assert "FOLDER" not in card
    assert "verify FOLDER" in (exports / "names/README.md").read_text(encoding="utf-8")


def test_a_moved_run_resumes_and_finds_its_best(exports: Path, tmp_path: Path):
    """Catches a path in a callback's state that leads to where the run was."""
    moved = tmp_path / "moved"
    shutil.copytree(exports, moved)
    last = "lightning_logs/version_1/checkpoints/last.ckpt"
    callback = ("--trainer.callbacks+", "lightning.pytorch.callbacks.ModelCheckpoint")
    done = run("fit", "--ckpt_path", last, "--trainer.max_steps", 12, *callback, cwd=moved)
    assert done.returncode == 0, done.stderr
    assert "best checkpoint: lightning_logs/version_1/checkpoints/best.ckpt" in done.stdout
    saved = torch.load(moved / last, weights_only=True)
    assert saved["global_step"] == 12
    (state,) = (state for key, state in saved["callbacks"].items() if key.startswith("ModelCheckpoint"))
    assert state["dirpath"] == "run folder:checkpoints"
    assert "init_from: lightning_logs/version_0/checkpoints/best.ckpt" in saved["callbacks"]["run_config"]["config"]


def both(folder: Path, command: str, *options: object) -> tuple[Result, Result]:
    """Results of a command with the checkpoint and with the folder exported from it."""
    checkpoint = "lightning_logs/version_1/checkpoints/best.ckpt"
    return tuple(run(command, "--ckpt_path", path, *options, cwd=folder) for path in (checkpoint, "names"))


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("predict", ("--sampling.num_samples", 5, "--sampling.suffix", "a")),
        ("score", ("emma", "olivia")),
        ("validate", ()),
        pytest.param("quality", ("--num_samples", 100), marks=pytest.mark.slow),
    ],
)
def test_a_folder_is_a_checkpoint(exports: Path, command: str, options: tuple[object, ...]):
    """Catches a weight, a token or a setting that the folder lacks."""
    of_checkpoint, of_folder = both(exports, command, *options)
    assert of_folder.returncode == 0, of_folder.stderr
    assert of_folder.stdout.replace("names", "X") == of_checkpoint.stdout.replace("names", "X")
    assert of_folder.stdout


@pytest.mark.slow
def test_a_folder_is_plotted(exports: Path, tmp_path: Path):
    """Catches a picture that fails where the folder has no state of training, instead of being left out."""
    shutil.copytree(exports / "names", tmp_path / "names")
    shutil.copy(exports / "words.txt", tmp_path)
    plotted = run("plot", "--ckpt_path", "names", cwd=tmp_path)
    assert plotted.returncode == 0, plotted.stderr
    assert "updates.png (names has no state of the optimiser)" in plotted.stdout


def test_a_run_begins_from_a_folder(exports: Path, tmp_path: Path):
    """Catches a run that goes on from a folder, which has no state of training, as if from a checkpoint."""
    shutil.copytree(exports / "names", tmp_path / "names")
    shutil.copy(exports / "words.txt", tmp_path)
    begun = run("fit", "--init_from", "names", "--trainer.max_steps", 5, cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert "begins from names" in begun.stderr
    resumed = run("fit", "--ckpt_path", "names", cwd=tmp_path)
    assert resumed.returncode == 1
    assert resumed.stderr.splitlines()[-1] == (
        "error: --ckpt_path names: a folder has no state of training; begin a new run with --init_from names"
    )


def test_a_folder_is_exported_again(exports: Path, tmp_path: Path):
    """Catches a setting that each further export changes or drops."""
    done = run("export", "--ckpt_path", exports / "names", "--format", "safetensors", "--output", "again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}
    before = {path.name: path.read_bytes() for path in (exports / "names").iterdir()}
    assert {name: again[name] for name in ("config.json", "model.safetensors")}.items() <= before.items()


def test_the_settings_of_a_folder_are_plain(exports: Path):
    """Catches a path or a class in the settings, or text that only Python reads."""
    settings = json.loads((exports / "names/config.json").read_text(encoding="utf-8"))
    assert settings["data"]["path"] == "words.txt"
    assert settings["model"]["network"]["class_path"] == "mm_lightning.networks.MLP"
    assert "default_root_dir" not in settings["run"]["trainer"]
    assert "callbacks" not in settings["run"]["trainer"]


def refused(cwd: Path, *options: object, prepare: object = None) -> str:
    """The error of an export that fails and leaves the folder as it was."""
    before = {path: path.read_bytes() for path in files_of(cwd)}
    done = run("export", *options, cwd=cwd, prepare=prepare)
    assert done.returncode in (1, 2), done.stdout
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in files_of(cwd)} == before
    assert not list(cwd.glob("out*"))
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (("--output", "out.txt"), "--output is out.txt; give --format, or a name that ends in .html, .onnx, .pt2"),
        (("--output", "out.pt2", "--format", "onnx"), "--output is out.pt2; its name must end in .onnx"),
        (("--output", "no/out.onnx"), "--output: no/out.onnx cannot be written: No such file or directory"),
        (
            ("--output", "words.txt", "--format", "safetensors"),
            "--output: words.txt is a file; give the name of a folder",
        ),
        (("--output", "out.onnx", "--weights", "float16"), "--weights is float16, but --format onnx has the weights"),
        (("--output", "out.onnx", "--trainer.precision", "bf16-mixed"), "trainer.precision is bf16-mixed, but export"),
        (("--output", "out.html", "--weights", "float16", "--data.path", "no.txt"), "--weights float16 needs the data"),
        ((), "the following arguments are required: --output"),
    ],
)
def test_settings_that_do_not_suit_each_other(names_run: Path, tmp_path: Path, options: tuple, error: str):
    """Catches a setting that is ignored, or a file that is left after a refusal."""
    shutil.copytree(names_run, tmp_path, dirs_exist_ok=True)
    assert error in refused(tmp_path, "--ckpt_path", CHECKPOINT, *options)


def let_no_work_begin() -> None:
    """Let every measurement fail."""
    from mm_lightning.commands import export  # noqa: PLC0415 # in the child

    export.gather = None


@pytest.mark.parametrize(
    ("output", "error"),
    [
        ("words.txt/sub", "--output: words.txt/sub cannot be written: Not a directory"),
        ("hub", "--output: hub/config.json exists and is of another application; move it, or give another name"),
    ],
)
def test_a_folder_that_cannot_be_used_is_told_first(names_run: Path, tmp_path: Path, output: str, error: str):
    """Catches minutes of measurement for a folder that cannot be written, and the files of another model replaced."""
    shutil.copytree(names_run, tmp_path, dirs_exist_ok=True)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/config.json").write_text('{"model_type": "gpt2"}')
    options = ("--ckpt_path", CHECKPOINT, "--format", "safetensors", "--output", output)
    assert refused(tmp_path, *options, prepare=let_no_work_begin) == f"error: {error}"


def test_weights_of_another_application_stay(tmp_path: Path):
    """Catches weights that are replaced, as no settings stand beside them, and an own folder that is refused."""
    (tmp_path / "model.safetensors").touch()
    for settings in (None, "not JSON", "[]"):
        if settings is not None:
            (tmp_path / "config.json").write_text(settings)
        with pytest.raises(UserError, match="exists and is of another application"):
            _check_weights(tmp_path)
    (tmp_path / "config.json").write_text('{"mm_lightning_format": 1}')
    _check_weights(tmp_path)


def test_a_checkpoint_that_cannot_be_used(names_run: Path, tmp_path: Path):
    """Catches a traceback, or a file that is left, for a foreign, damaged or missing checkpoint or folder."""
    (tmp_path / "damaged.ckpt").write_bytes((names_run / CHECKPOINT).read_bytes()[:-200])
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    (tmp_path / "empty").mkdir()
    for path, error in {
        "damaged.ckpt": "damaged.ckpt cannot be read as a checkpoint: damaged, cut short, or no checkpoint at all",
        "foreign.ckpt": "foreign.ckpt is a checkpoint of another application; mm_lightning did not write it",
        "missing.ckpt": "missing.ckpt: no such checkpoint",
        "empty": "empty is a folder without config.json and model.safetensors; give a .ckpt file, or a folder of "
        "export",
    }.items():
        assert refused(tmp_path, "--ckpt_path", path, "--output", "out.onnx") == f"error: {error}"


def write_other_programs() -> None:
    """Let every program compute other logits than its network."""
    from mm_lightning.export.formats.step import Step  # noqa: PLC0415 # in the child

    forward = Step.forward

    def wrong(self: Step, ids: torch.Tensor, state: list[torch.Tensor], label: None = None) -> tuple[torch.Tensor, ...]:
        logits, *after = forward(self, ids, state, label)
        return logits + 0.01, *after

    Step.forward = wrong


def hide_extra() -> None:
    """Stand for a machine without the packages of the extra."""
    from mm_lightning.commands import export  # noqa: PLC0415 # in the child
    from mm_lightning.training.checkpoint import folder  # noqa: PLC0415

    export.find_spec = folder.find_spec = lambda name: None


def test_a_difference_leaves_nothing(names_run: Path, tmp_path: Path):
    """Catches a file that takes its name before it is compared with the checkpoint."""
    shutil.copytree(names_run, tmp_path, dirs_exist_ok=True)
    error = refused(tmp_path, "--ckpt_path", CHECKPOINT, "--output", "out.pt2", prepare=write_other_programs)
    assert error == (
        "error: --format pt2: the file of MLP computes logits that differ by up to 0.01, so it is not written; "
        "give another --format"
    )


def test_without_the_extra(names_run: Path, exports: Path, tmp_path: Path):
    """Catches a traceback where the packages of the extra are not installed."""
    shutil.copytree(names_run, tmp_path, dirs_exist_ok=True)
    shutil.copytree(exports / "names", tmp_path / "names")
    install = "is not installed; uv sync --extra export, or pip install 'mm-lightning[export]'"
    for path, format, missing in (
        (CHECKPOINT, "onnx", "error: --format onnx needs onnx, onnxruntime, onnxscript, which "),
        (CHECKPOINT, "safetensors", "error: --format safetensors needs safetensors, which "),
        ("names", "html", "error: names/model.safetensors needs safetensors, which "),
    ):
        options = (
            "--ckpt_path",
            path,
            "--format",
            format,
            "--output",
            "out" if format == "safetensors" else f"out.{format}",
        )
        assert refused(tmp_path, *options, prepare=hide_extra) == missing + install


def test_float16_says_what_it_costs(exports: Path, tmp_path: Path):
    """Catches smaller weights whose cost nobody learns of."""
    options = ("--output", tmp_path / "small.html", "--weights", "float16")
    done = run("export", "--ckpt_path", "best", *options, cwd=exports)
    assert done.returncode == 0, done.stderr
    change = re.match(r"--weights float16: val/loss changes by ([+-]\d\.\d{6})\n", done.stdout)
    assert change is not None
    assert abs(float(change[1])) < 1e-3
    assert (tmp_path / "small.html").stat().st_size < (exports / "names.html").stat().st_size - 20_000


def test_the_example_of_the_documentation(exports: Path):
    """Catches an example that is not true: it samples with onnxruntime and NumPy alone."""
    page = (ROOT / "docs/share.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?onnxruntime.*?)^```$", page, re.DOTALL | re.MULTILINE)
    check = "\nimport sys\nassert not {'torch', 'mm_lightning', 'onnx'} & set(sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", code + check], cwd=exports, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"([a-z]+\n){10}", done.stdout)
