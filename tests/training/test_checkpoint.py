"""Checkpoints are written whole or not at all, and read without running what is in them."""

import errno
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from mm_lightning import UserError
from mm_lightning.training.checkpoint import load, load_weights, read
from mm_lightning.training.checkpoint.lightning_io import AtomicCheckpointIO

MODEL: dict[str, Any] = {
    "alphabet": "abc",
    "labels": {},
    "network": {"class_path": "mm_lightning.networks.MLP", "init_args": {"block_size": 3, "initialization": "torch"}},
    "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}},
    "lr_scheduler": None,
    "_instantiator": "lightning.pytorch.cli.instantiate_module",
}
DATA: dict[str, Any] = {
    **{"path": "names.txt", "split": "lecture", "batch_size": 32, "block_size": 3, "tokens": "characters"},
    **{"max_vocab": None, "seed": 1, "item": None, "label": None, "weight": None, "_instantiator": "x"},
}


_WHOLE = load(Path(__file__).parent / "old_checkpoints/windows.ckpt")


def content(config: str = "trainer:\n  max_steps: 7\n", **changes: Any) -> dict[str, Any]:
    """Content of a run's checkpoint with another configuration and other changes."""
    return {
        **_WHOLE,
        "hyper_parameters": MODEL,
        "datamodule_hyper_parameters": DATA,
        "callbacks": _WHOLE["callbacks"] | {"run_config": {"config": config}},
        "state_dict": {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2)},
        "global_step": 5,
    } | changes


def saved(tmp_path: Path, what: Any) -> Path:
    torch.save(what, tmp_path / "some.ckpt")
    return tmp_path / "some.ckpt"


def written(what: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(what, buffer)
    return buffer.getvalue()


def pickled(what: Any) -> bytes:
    return pickle.dumps(what, protocol=2)  # torch's own; it warns of others


class Evil:
    """Makes a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, str]]:
        return open, (str(self.marker), "w")


def test_what_is_written_is_read(tmp_path: Path):
    """A setting lost, or bookkeeping of Lightning's taken for one."""
    path = tmp_path / "new" / "folder" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(content(), path)
    result = read(path)
    assert result.path == path
    assert result.model == {key: value for key, value in MODEL.items() if key != "_instantiator"}
    assert result.data == {key: value for key, value in DATA.items() if key != "_instantiator"}
    assert result.config == {"trainer": {"max_steps": 7}}
    assert result.step == 5
    assert list(path.parent.iterdir()) == [path]


def test_weights_come_back(tmp_path: Path):
    """Weights of the module's start used instead of the checkpoint's."""
    layer = torch.nn.Linear(3, 2)
    load_weights(layer, saved(tmp_path, content()))
    assert torch.equal(layer.weight, torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize("room", [0, 10, 700, 1400])  # bytes; torch's zip writer hides some errors of the disk
@pytest.mark.parametrize("has_previous", [True, False])
def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int, has_previous: bool
):
    """Catches a good checkpoint cut short by the next one, a rest beside it, and untrue words."""
    path = tmp_path / "last.ckpt"
    if has_previous:
        AtomicCheckpointIO().save_checkpoint(content(global_step=1), path)
    before = path.read_bytes() if has_previous else None
    save = torch.save

    class SmallDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(torch, "save", lambda what, file: save(what, SmallDisk()))
    with pytest.raises(UserError) as raised:
        AtomicCheckpointIO().save_checkpoint(content(global_step=2), path)
    kept = "; the previous checkpoint there is untouched" if has_previous else ""
    assert str(raised.value) == f"checkpoint: {path} cannot be written: No space left on device{kept}"
    assert list(tmp_path.iterdir()) == ([path] if has_previous else [])
    assert before is None or path.read_bytes() == before


def test_the_new_file_appears_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writing into the target itself: a crash in between would lose both checkpoints."""
    path = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint(content(global_step=1), path)
    save, steps_seen = torch.save, []

    def save_and_look(what: Any, file: Any) -> None:
        save(what, file)
        steps_seen.append(read(path).step)

    monkeypatch.setattr(torch, "save", save_and_look)
    AtomicCheckpointIO().save_checkpoint(content(global_step=2), path)
    assert steps_seen == [1]
    assert read(path).step == 2


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path):
    """A traceback at the first checkpoint of a run."""
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"checkpoint: .*last\.ckpt cannot be written: "):
        AtomicCheckpointIO().save_checkpoint(content(), tmp_path / "file" / "last.ckpt")


@pytest.mark.parametrize("wrap", [lambda evil: evil, lambda evil: content(extra=evil)], ids=["bare", "inside"])
@pytest.mark.parametrize("write", [pickled, written], ids=["pickle", "torch.save"])
def test_a_hostile_pickle_is_refused_and_runs_nothing(
    tmp_path: Path, write: Callable[[Any], bytes], wrap: Callable[[Any], Any]
):
    """Loading with weights_only=False."""
    marker, path = tmp_path / "marker", tmp_path / "evil.ckpt"
    path.write_bytes(write(wrap(Evil(marker))))
    with pytest.raises(ValueError, match=r"evil.ckpt cannot be read as a checkpoint"):
        read(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(Evil(marker))).close()
    assert marker.exists()  # the bait itself works


@pytest.mark.parametrize(
    "class_path",
    ["os.system", "torch.hub.load", "mm_lightning.cli.main", "mm_lightning.networks_of_mine.Net", "torch.optimizer.X"],
)
@pytest.mark.parametrize(
    "place",
    [
        pytest.param(lambda evil: {"network": evil}, id="network"),
        pytest.param(lambda evil: {"lr_scheduler": evil}, id="lr_scheduler"),
        pytest.param(lambda evil: {"more": [1, evil]}, id="list"),
        pytest.param(lambda evil: {"network": MODEL["network"] | {"init_args": {"layer": evil}}}, id="init_args"),
    ],
)
def test_classes_that_are_not_ours_are_refused(tmp_path: Path, class_path: str, place: Callable[[Any], dict[str, Any]]):
    """A plain-data checkpoint that has the command line call what it names."""
    path = saved(tmp_path, content(hyper_parameters=MODEL | place({"class_path": class_path, "init_args": {}})))
    with pytest.raises(ValueError, match=f"names {class_path}"):
        read(path)


def test_a_class_of_another_package_needs_the_users_word(tmp_path: Path):
    """One's own optimiser, named on the command line, refused; or any class let through once one is."""
    mine = {"class_path": "my_package.Adam", "init_args": {}}
    path = saved(tmp_path, content(hyper_parameters=MODEL | {"optimizer": mine}))
    assert read(path, "fit --model.optimizer my_package.Adam").model["optimizer"] == mine
    with pytest.raises(ValueError, match=r"names my_package\.Adam"):
        read(path, "fit --model.optimizer other_package.Adam")


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"function": "os.system"}, id="value"),
        pytest.param({"functions": ["os.system"]}, id="in a list"),
        pytest.param({"functions": ("os.system",)}, id="in a tuple"),
        pytest.param({"functions": {"first": "os.system"}}, id="in a dict"),
        pytest.param({"functions": [{"first": ["os.system"]}]}, id="deeper"),
    ],
)
@pytest.mark.parametrize("key", ["init_args", "dict_kwargs"])
def test_arguments_that_could_name_code_are_refused(tmp_path: Path, key: str, arguments: dict[str, Any]):
    """A function handed to a trusted class, such as LambdaLR, which calls it."""
    trusted = {"class_path": "torch.optim.lr_scheduler.LambdaLR", key: arguments}
    with pytest.raises(ValueError, match=r"os\.system"):
        read(saved(tmp_path, content(hyper_parameters=MODEL | {"lr_scheduler": trusted})))


@pytest.mark.parametrize("key", ["network", "optimizer", "lr_scheduler"])
def test_a_class_named_without_arguments_is_refused_too(tmp_path: Path, key: str):
    """The short form of class_path, which the command line imports just the same."""
    with pytest.raises(ValueError, match=r"os\.system"):
        read(saved(tmp_path, content(hyper_parameters=MODEL | {key: "os.system"})))


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"hello world\n", id="text"),
        pytest.param(b"emma\nolivia\nava\n", id="words"),
        pytest.param(b"seed_everything: 42\n", id="config"),
        pytest.param(b".\n", id="dot"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="picture"),
        pytest.param(b"PK\x03\x04" + bytes(100), id="other zip"),
        pytest.param(pickled({"a": 1})[:-3], id="pickle cut short"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path: Path, damaged: bytes):
    """A traceback of pickle's for --ckpt_path names.txt."""
    path = tmp_path / "some.ckpt"
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match=r"some.ckpt cannot be read as a checkpoint"):
        read(path)


def test_a_checkpoint_cut_short_anywhere_is_an_error(tmp_path: Path):
    """A run continued with part of its weights, or a traceback."""
    whole, path = written(content()), tmp_path / "some.ckpt"
    for length in range(0, len(whole), 29):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"some.ckpt cannot be read as a checkpoint"):
            read(path)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"state_dict": {}}, id="weights only"),
        pytest.param(content(hyper_parameters={"lr": 0.1}), id="no alphabet"),
        pytest.param(content(hyper_parameters=None), id="no settings"),
        pytest.param({key: value for key, value in content().items() if key != "global_step"}, id="no step"),
        pytest.param(content("a: [b"), id="config that is no YAML"),
        pytest.param([1, 2], id="list"),
        pytest.param(torch.zeros(3), id="tensor"),
    ],
)
def test_a_checkpoint_of_something_else_is_an_error(tmp_path: Path, other: Any):
    """A KeyError for another application's checkpoint."""
    with pytest.raises(ValueError, match=r"some\.ckpt"):
        read(saved(tmp_path, other))


def test_a_path_that_is_no_file_is_an_error(tmp_path: Path):
    """A traceback for a mistyped path, or for the folder of checkpoints."""
    with pytest.raises(ValueError, match="no such checkpoint"):
        read(tmp_path / "missing.ckpt")
    with pytest.raises(ValueError, match="is a folder"):
        read(tmp_path)


def test_a_config_in_a_checkpoint_makes_no_objects(tmp_path: Path):
    """YAML read with a loader that calls what the text names."""
    marker = tmp_path / "marker"
    text = f"!!python/object/apply:builtins.open ['{marker}', 'w']"
    with pytest.raises((ValueError, yaml.YAMLError)):
        read(saved(tmp_path, content(text)))
    assert not marker.exists()
