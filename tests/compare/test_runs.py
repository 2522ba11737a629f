"""Groups of runs, and the settings that differ between them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mm_lightning import UserError
from mm_lightning.compare.runs import Run, _name, differing_settings, group_runs

MLP = {"model.network.class_path": "MLP", "model.network.init_args.width": 7, "model.network.init_args.depth": 1}
GRU = {"model.network.class_path": "GRU", "model.network.init_args.width": 7}


def run_of(seed: int, settings: dict[str, Any], digest: str = "a") -> Run:
    return Run(f"{seed}", Path(), None, seed, 1, settings, digest, "", {})


def differing(*settings: dict[str, Any]) -> dict[str, list[Any]]:
    return differing_settings(group_runs([run_of(1, each) for each in settings]))


def test_groups_are_of_one_setting_and_one_list():
    """Catches runs of other settings or items in one group, and equal runs in two."""
    a, b, c = ({"data.path": path, "lr": rate} for path, rate in (("x", 0.1), ("./x", 0.1), ("x", 0.2)))
    groups = group_runs([run_of(1, a), run_of(1, c), run_of(2, b), run_of(3, a, "other")])
    assert [(group.name, [run.seed for run in group.runs]) for group in groups] == [
        ("A", [1, 2]),
        ("B", [1]),
        ("C", [3]),
    ]
    assert len(group_runs([run_of(1, {"lr": 0.1}), run_of(2, {"lr": 0.1, "new": None})])) == 1
    with pytest.raises(UserError, match="have the same settings and the same seed, 1; leave one out"):
        group_runs([run_of(1, a), run_of(1, b)])


def test_a_checkpoint_in_a_folder_of_checkpoints_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a file that is refused as its folder is named like that of a run, and the best of a run as a file."""
    monkeypatch.chdir(tmp_path)
    for folder, files in (("checkpoints", ["a.ckpt"]), ("run/checkpoints", ["best.ckpt", "last.ckpt"])):
        Path(folder).mkdir(parents=True)
        for file in files:
            Path(folder, file).touch()
    assert _name(Path("checkpoints/a.ckpt")) == "checkpoints/a.ckpt"
    assert _name(Path("run/checkpoints/best.ckpt")) == "run"
    assert _name(Path("run/checkpoints/last.ckpt")) == "run/checkpoints/last.ckpt"


def test_a_bare_name_has_no_folder(tmp_path: Path):
    """Catches the name of a user in a file that is given away."""
    checkpoints = tmp_path / "john/lightning_logs/version_3/checkpoints"
    checkpoints.mkdir(parents=True)
    for file in ("best.ckpt", "last.ckpt"):
        (checkpoints / file).touch()
    for path, name in (
        (checkpoints / "best.ckpt", "version_3"),
        (checkpoints / "last.ckpt", "last.ckpt"),
        (tmp_path / "john/mine.ckpt", "mine.ckpt"),
    ):
        assert replace(run_of(1, {}), path=path).bare_name == name


def test_many_groups_have_names():
    """Catches a 27th group without a letter."""
    names = [group.name for group in group_runs([run_of(1, {"lr": rate}) for rate in range(28)])]
    assert names[24:] == ["Y", "Z", "AA", "AB"]


def test_settings_that_differ():
    """Catches a setting that is hidden, and arguments of another class that would fill the table."""
    assert differing({"lr": 1, "same": 2}, {"lr": 3, "same": 2}, {"same": 2}) == {"lr": [1, 3, None]}
    assert differing(MLP, {**MLP, "model.network.init_args.depth": None}) == {
        "model.network.init_args.depth": [1, None]
    }
    classes = {"model.network.class_path": ["MLP", "GRU"]}
    assert differing(MLP, GRU) == classes
    deeper = {**MLP, "model.network.init_args.depth": 2}
    assert differing(MLP, GRU, deeper)["model.network.init_args.depth"] == [1, None, 2]


def test_one_list_under_two_paths_is_no_difference():
    """Catches a path that is shown although the items are equal, and one that is hidden although they are not."""
    one, other = ({"data.path": path, "lr": number} for number, path in enumerate(("x", "y")))
    for digest, has_path in (("a", False), ("b", True)):
        groups = group_runs([run_of(1, one), run_of(1, other, digest)])
        assert ("data.path" in differing_settings(groups)) == has_path
