"""Studies in a file: the locks of their workers."""

from pathlib import Path

from mm_lightning.sweep.storage.files import FileStore


def test_a_lock_outlives_its_worker_only_while_its_trial_runs(tmp_path: Path):
    """Catches a lock that stays for ever after a worker was killed at the end of its trial, and one taken from it."""
    store = FileStore(tmp_path, "journal")
    store.claim(1)
    for number in (0, 2):
        (tmp_path / f"running/{number}.lock").touch()  # of killed workers; trial 0 has ended, trial 2 has not
    assert store.abandoned([1, 2]) == [2]
    assert sorted(path.name for path in (tmp_path / "running").iterdir()) == ["1.lock", "2.lock"]
    store.release(1)
    assert store.abandoned([2]) == [2]
    assert store.abandoned([]) == []
    assert not list((tmp_path / "running").iterdir())
