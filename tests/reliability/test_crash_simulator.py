"""After a crash at any moment, each file is the old or the new one, and the new one once its writing has returned."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import torch
from compare import equal
from crash_simulator import Entry, Recording, Sync, Tree, Write, materialise, record
from optuna.distributions import FloatDistribution
from run_command import FIT, run

from mm_lightning import files
from mm_lightning.files import make_folder, write_atomically, write_together
from mm_lightning.sweep import results
from mm_lightning.training.checkpoint import load
from mm_lightning.training.checkpoint.lightning_io import AtomicCheckpointIO

LAST = "lightning_logs/version_0/checkpoints/last.ckpt"
OPTIONS = ("--data.path", "words.txt", "--data.batch_size", 5, "--model.network.init_args.hidden_dim", 8)


def losses(recording: Recording, targets: list[str]) -> tuple[list[str], int]:
    """The states in which a target is neither old nor new, or not new after the last change, and the number of all."""
    found, tried = [], 0
    for count, tree in recording.states():
        tried += 1
        for target in targets:
            old, new = recording.before.get(target), recording.after[target]
            if tree.get(target) not in ((new,) if count == len(recording.changes) else (old, new)):
                size = "no file" if target not in tree else f"{len(tree[target])} bytes"
                found.append(f"after {count} of {len(recording.changes)} changes {target} has {size}")
    return found, tried


def save_checkpoint(folder: Path) -> list[str]:
    AtomicCheckpointIO().save_checkpoint({"global_step": 2, "weights": torch.ones(20_000)}, folder / LAST)
    return [LAST]


def save_over_another(folder: Path) -> list[str]:
    return save_checkpoint(folder)


def save_output(folder: Path) -> list[str]:
    make_folder(folder / "new/folder")
    with write_atomically(folder / "new/folder/items.csv", "sampling.output") as file:
        for number in range(3000):
            file.write(b"emma,%d\n" % number)
    return ["new/folder/items.csv"]


def save_pair(folder: Path) -> list[str]:
    with write_together([folder / "lr.csv", folder / "lr.png"], "output") as (table, picture):
        table.write(b"lr,loss\n" * 2000)
        picture.write(b"\x89PNG" * 5000)
    return ["lr.csv", "lr.png"]


def update_results(folder: Path) -> list[str]:
    """A study's files after its second trial: the config of the best, and a row of TensorBoard."""
    trials = [
        optuna.trial.create_trial(
            params={"model.lr": rate},
            distributions={"model.lr": FloatDistribution(0, 1)},
            value=rate,
            intermediate_values={10: rate},
        )
        for rate in (0.5, 0.25)
    ]
    for number, trial in enumerate(trials):
        trial.number = number
    plan = SimpleNamespace(name="search", settings=lambda point: {"model": {"lr": point["model.lr"]}})
    study: Any = SimpleNamespace(finished=trials, ranking=trials[::-1], plan=plan, folder=folder)
    results.write_rows(study)
    results.write_best(study)
    rows = [path.relative_to(folder).as_posix() for path in folder.glob("trial_*/*") if path.is_file()]
    assert len(rows) >= 2
    return ["best.yaml", *rows]


def prepare(save: Callable[[Path], list[str]], folder: Path) -> None:
    """Write the files that a save finds."""
    if save is save_over_another:
        make_folder((folder / LAST).parent)
        AtomicCheckpointIO().save_checkpoint({"global_step": 1, "weights": torch.zeros(30_000)}, folder / LAST)
    elif save is save_pair:
        (folder / "lr.csv").write_bytes(b"lr,loss\nof an earlier test\n")
    elif save is update_results:
        (folder / "best.yaml").write_text("# Trial 0\nmodel:\n  lr: 0.5\n")


SAVES = [save_checkpoint, save_over_another, save_output, save_pair, update_results]


def recorded(save: Callable[[Path], list[str]], folder: Path) -> tuple[Recording, list[str]]:
    folder.mkdir()
    prepare(save, folder)
    with record(folder) as recording:
        targets = save(folder)
    return recording, targets


@pytest.mark.parametrize("save", SAVES)
def test_a_crash_leaves_the_old_or_the_new_file(save: Callable[[Path], list[str]], tmp_path: Path):
    """Catches a file that is torn or lost by a crash, and one that is still the old one after its save."""
    recording, targets = recorded(save, tmp_path / "disk")
    assert (len(recording.changes), recording.after) in recording.states(), "a change was not recorded"
    assert {Write, Sync, Entry} <= set(map(type, recording.changes))
    found, tried = losses(recording, targets)
    print(f"{save.__name__}: {tried} states of the disk, {len(found)} with a loss")
    assert found == []
    assert tried >= 15


def _without_file_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    fsync = os.fsync

    def sync_folders_only(file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            fsync(descriptor)

    monkeypatch.setattr(files, "os", _module_with(fsync=sync_folders_only))


def _without_folder_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "sync_folder", lambda folder: None)


def _with_late_file_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sync files after the rename, together with the folder."""
    fsync, sync_folder, waiting = os.fsync, files.sync_folder, []

    def note(file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        (fsync if Path(f"/proc/self/fd/{descriptor}").is_dir() else waiting.append)(os.dup(descriptor))

    def sync_all(folder: Path) -> None:
        while waiting:
            fsync(waiting.pop())
        sync_folder(folder)

    monkeypatch.setattr(files, "os", _module_with(fsync=note))
    monkeypatch.setattr(files, "sync_folder", sync_all)


class _module_with:  # noqa: N801 # stands for the module os
    """The module `os` with another function."""

    def __init__(self, **functions: Any) -> None:
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


@pytest.mark.parametrize("fault", [_without_file_syncs, _without_folder_syncs, _with_late_file_syncs])
@pytest.mark.parametrize("save", SAVES)
def test_the_simulator_finds_a_missing_sync(
    save: Callable[[Path], list[str]],
    fault: Callable[[pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """Catches a simulator under which a writer without syncs, or with syncs too late, loses nothing."""
    (tmp_path / "disk").mkdir()
    prepare(save, tmp_path / "disk")
    with record(tmp_path / "disk") as recording:
        fault(monkeypatch)
        targets = save(tmp_path / "disk")
    found, _ = losses(recording, targets)
    assert found


@pytest.fixture(scope="module")
def stopped_runs(words_text: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The disk before and after the save of step 40 over that of step 20, and the last checkpoint of a whole run."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "words.txt").write_text(words_text)
    trees = []
    for steps in (20, 40, 60):
        begun = ("--ckpt_path", "last") if trees else ()
        done = run(*FIT, *OPTIONS, "--trainer.max_steps", steps, *begun, cwd=folder)
        assert done.returncode == 0, done.stderr
        trees.append(load(folder / LAST))
    return {"words": words_text, "folder": folder, "contents": trees}


def _resumed(tree: Tree, runs: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The last checkpoint of a run that goes on from a state of the disk."""
    materialise(tree, folder)
    (folder / "words.txt").write_text(runs["words"])
    done = run("fit", "--ckpt_path", "last", "--data.path", "words.txt", "--trainer.max_steps", 60, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert not list(folder.rglob(".*.partial"))
    return load(folder / LAST)


def _check_resumes(most: int, runs: dict[str, Any], folder: Path) -> int:
    """Resume from states of the disk that have different files; return the number of the states."""
    old, new, whole = runs["contents"]
    (folder / "disk" / LAST).parent.mkdir(parents=True)
    AtomicCheckpointIO().save_checkpoint(old, folder / "disk" / LAST)
    with record(folder / "disk") as recording:
        AtomicCheckpointIO().save_checkpoint(new, folder / "disk" / LAST)
    different: dict[Any, Tree] = {}
    for count, tree in recording.states():
        partial = tree.get(LAST.replace("last.ckpt", ".last.ckpt.partial"))
        different.setdefault((tree[LAST], None if partial is None else len(partial), count == 0), tree)
    trees = list(different.values())
    chosen = [*trees[: most - 1], trees[-1]]
    assert {tree[LAST] for tree in chosen} == {recording.before[LAST], recording.after[LAST]}
    for number, tree in enumerate(chosen):
        resumed = _resumed(tree, runs, folder / str(number))
        assert all(
            equal(resumed[key], whole[key]) for key in ("state_dict", "optimizer_states", "lr_schedulers", "data")
        )
        assert equal(resumed["callbacks"]["random_state"], whole["callbacks"]["random_state"])
    return len(chosen)


@pytest.mark.slow
def test_a_run_resumes_bit_for_bit_from_every_disk_of_a_crash(stopped_runs: dict[str, Any], tmp_path: Path):
    """Catches a state of the disk whose checkpoint opens and whose run goes on elsewhere."""
    number = _check_resumes(40, stopped_runs, tmp_path)
    print(f"resumed from {number} different states of the disk")
    assert number > 8
