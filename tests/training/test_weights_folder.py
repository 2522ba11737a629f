"""A folder of weights and settings opens as a checkpoint, and a damaged one is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mm_lightning import UserError
from mm_lightning.export.formats.weights_folder import weights_folder
from mm_lightning.training import checkpoint

OLD = Path(__file__).parent / "old_checkpoints"
KINDS = sorted(path.stem for path in OLD.glob("*.ckpt"))


def write(kind: str, folder: Path) -> checkpoint.Checkpoint:
    source = checkpoint.read(OLD / f"{kind}.ckpt")
    for name, content in weights_folder(source).items():
        (folder / name).write_bytes(content)
    return source


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_has_what_the_checkpoint_has(kind: str, tmp_path: Path):
    """Catches a type of number, an empty table of counts or a setting that safetensors or JSON changes."""
    source = write(kind, tmp_path)
    found = checkpoint.read(tmp_path)
    expected, content = checkpoint.load(source.path), checkpoint.load(tmp_path)
    assert content["state_dict"].keys() == expected["state_dict"].keys()
    for name, weight in expected["state_dict"].items():
        assert content["state_dict"][name].dtype == weight.dtype
        assert torch.equal(content["state_dict"][name], weight)
    assert found.model == json.loads(json.dumps(source.model))
    assert found.data == {**source.data, "path": Path(source.data["path"]).name}
    assert (found.step, found.epoch) == (source.step, source.epoch)
    assert checkpoint.digest(tmp_path) == checkpoint.digest(source.path)


def flip_bit(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "model.safetensors").write_bytes(content)


def cut(folder: Path) -> None:
    content = (folder / "config.json").read_bytes()
    (folder / "config.json").write_bytes(content[:-9])


def change(**settings: object) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **settings}), encoding="utf-8")

    return apply


def run_code(folder: Path) -> None:
    model = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model"]
    change(model={**model, "network": {"class_path": "os.system", "init_args": {}}})(folder)


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (flip_bit, "model.safetensors is damaged or cut short; export the model again"),
        (cut, "config.json is damaged or cut short; export the model again"),
        (lambda folder: (folder / "config.json").write_text('{"model_type": "bert"}'), "is of another application"),
        (
            lambda folder: (folder / "model.safetensors").unlink(),
            "is a folder without config.json and model.safetensors",
        ),
        (change(step="many"), "is damaged: global_step is 'many'"),
        (change(model=None), "is a checkpoint of another application"),
        (change(run=[1]), "is damaged: the configuration of its run has no sections"),
        (change(mm_lightning_format=99), "was written by a newer version of mm_lightning"),
        (run_code, "names os.system, which is not part of this application"),
    ],
)
def test_a_folder_that_cannot_be_used(tmp_path: Path, damage: Callable[[Path], None], error: str):
    """Catches a traceback, code that is run, or weights that differ by one bit and are used without a word."""
    write("windows", tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError) as refusal:
        checkpoint.read(tmp_path)
    assert error in str(refusal.value)
    assert "\n" not in str(refusal.value)
