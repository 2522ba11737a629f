"""Run folders: numbers, claims, and the checkpoints that names stand for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mm_lightning.training import run_folders


def add_checkpoint(run: Path, name: str) -> Path:
    path = run / "checkpoints" / f"{name}.ckpt"
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def test_runs_are_numbered_in_turn(tmp_path: Path):
    """A run that takes the folder of another, or counts version_10 before version_9."""
    root = tmp_path / "new" / "lightning_logs"
    assert [run_folders.create(root).name for _ in range(12)] == [f"version_{i}" for i in range(12)]
    assert all(path.is_dir() for path in root.iterdir())


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        pytest.param(["version_0", "version_7"], "version_8", id="gap"),
        pytest.param(["version_9", "version_10"], "version_11", id="two digits"),
        pytest.param(["version_x", "version_3_old", "my_version_5", "notes"], "version_0", id="other folders"),
    ],
)
def test_the_next_number_is_above_all_others(tmp_path: Path, there: list[str], expected: str):
    """A deleted run's number used again, so that last would mean an older run."""
    for name in there:
        (tmp_path / name).mkdir()
    assert run_folders.create(tmp_path).name == expected


def test_a_file_of_the_next_name_is_passed_over(tmp_path: Path):
    """Trying the same taken number for ever."""
    (tmp_path / "version_0").touch()
    assert run_folders.create(tmp_path).name == "version_1"


def test_runs_that_start_together_get_folders_of_their_own(tmp_path: Path):
    """Two runs that write into one folder."""
    barrier = threading.Barrier(8)

    def start(_: int) -> Path:
        barrier.wait()
        return run_folders.create(tmp_path / "lightning_logs")

    with ThreadPoolExecutor(8) as pool:
        paths = [path for _ in range(20) for path in pool.map(start, range(8))]
    assert len(set(paths)) == 160
    assert {path.name for path in paths} == {f"version_{i}" for i in range(160)}


def test_a_root_that_is_a_file_is_an_error(tmp_path: Path):
    """Waiting for ever for a folder that cannot be made, or a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"is a file; .*default_root_dir"):
        run_folders.create(tmp_path / "file")
    with pytest.raises(ValueError, match=r"cannot make the run folder .*default_root_dir"):
        run_folders.create(tmp_path / "file" / "lightning_logs")


def test_a_run_is_held_once(tmp_path: Path):
    """A run resumed while it still trains: both would write its checkpoints."""
    lock = run_folders.lock(tmp_path)
    with pytest.raises(ValueError, match="another process is training in"):
        run_folders.lock(tmp_path)
    lock.release()
    run_folders.lock(tmp_path).release()


def test_two_runs_are_held_at_once(tmp_path: Path):
    """One lock for all runs, which would forbid training two models."""
    first, second = run_folders.lock(run_folders.create(tmp_path)), run_folders.lock(run_folders.create(tmp_path))
    assert first.is_locked
    assert second.is_locked
    first.release()
    second.release()


def test_holding_a_folder_that_is_not_there_is_an_error(tmp_path: Path):
    """A lock in a folder made on the fly, or a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot write in the run folder"):
        run_folders.lock(tmp_path / "file")


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_name_means_the_newest_run(tmp_path: Path, name: str):
    """The oldest run's checkpoint, the other kind, or version_9 taken for newer than version_10."""
    for number in (2, 9, 10):
        (tmp_path / f"version_{number}").mkdir()
        for kind in ("last", "best"):
            add_checkpoint(tmp_path / f"version_{number}", kind)
    assert run_folders.find_checkpoint(name, tmp_path) == tmp_path / "version_10" / "checkpoints" / f"{name}.ckpt"


@pytest.mark.parametrize("name", ["last", "best"])
def test_a_name_that_means_nothing_is_an_error(tmp_path: Path, name: str):
    """A new run started silently, or an older one continued, where the newest has no checkpoint."""
    for root in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=f"--ckpt_path {name}: no run in"):
            run_folders.find_checkpoint(name, root)
    add_checkpoint(run_folders.create(tmp_path), name)
    run_folders.create(tmp_path)
    with pytest.raises(ValueError, match=rf"--ckpt_path {name}: the newest run has no .*version_1.*{name}\.ckpt"):
        run_folders.find_checkpoint(name, tmp_path)


def test_a_process_that_comes_later_finds_the_checkpoint_of_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a second process that looks into the run folder which the first one has just made for the new run."""
    best = add_checkpoint(run_folders.create(tmp_path), "best")
    run_folders.create(tmp_path)
    monkeypatch.setattr("lightning_utilities.core.rank_zero.rank_zero_only.rank", 1, raising=False)
    assert run_folders.find_checkpoint("best", tmp_path) == best


def test_a_path_means_itself(tmp_path: Path):
    """A path searched for below the root."""
    assert run_folders.find_checkpoint("some/where.ckpt", tmp_path) == Path("some/where.ckpt")
    assert run_folders.find_checkpoint("./last", tmp_path) == Path("last")


def test_only_last_of_a_run_is_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run continued in its folder from its best checkpoint, over the later one."""
    run = run_folders.create(tmp_path)
    last, best = add_checkpoint(run, "last"), add_checkpoint(run, "best")
    assert run_folders.is_last(last)
    assert not run_folders.is_last(best)
    assert not run_folders.is_last(tmp_path / "last.ckpt")
    monkeypatch.chdir(last.parent)
    assert run_folders.is_last(Path("last.ckpt"))


def test_the_run_of_a_checkpoint(tmp_path: Path):
    """A checkpoint copied elsewhere that claims a folder around it."""
    run = run_folders.create(tmp_path)
    assert run_folders.run_of(add_checkpoint(run, "best")) == run
    assert run_folders.run_of(tmp_path / "best.ckpt") is None


def test_a_newest_run_without_a_checkpoint_is_told_with_the_newest_that_has_one(tmp_path: Path):
    """Catches a killed run's empty folder in the way of the checkpoints before it, without a word about them."""
    earlier = add_checkpoint(run_folders.create(tmp_path), "last")
    run_folders.create(tmp_path)
    with pytest.raises(ValueError, match=r"newest run has no .*version_1/checkpoints/last\.ckpt") as raised:
        run_folders.find_checkpoint("last", tmp_path)
    assert str(raised.value).endswith(f"Give --ckpt_path {earlier}")
