"""Atomic writing of files."""

import os
import signal
from pathlib import Path

import pytest
from run_command import fork

from mm_lightning import UserError
from mm_lightning.files import (
    check_folder,
    check_writable,
    folder_for_files,
    make_folder,
    make_folder_when_complete,
    remove_partials,
    write_atomically,
    write_together,
)


def content(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path, error: BaseException):
    """Catches an incomplete file, a temporary file left behind, and a traceback for a full disk."""
    path = tmp_path / "a.txt"
    path.write_text("before")
    expected = ValueError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as raised, write_atomically(path, "output") as file:
        file.write(b"ha")
        raise error
    if expected is ValueError:
        assert str(raised.value) == f"output: {path} cannot be written: No space left on device"
    assert content(tmp_path) == {"a.txt": "before"}


def test_of_two_files_both_appear_or_none(tmp_path: Path):
    """Catches a picture without its table after a full disk."""
    paths = [tmp_path / "a.csv", tmp_path / "a.png"]
    with pytest.raises(UserError, match=r"output: .*a\.csv, .*a\.png cannot be written: No space"):  # noqa: SIM117
        with write_together(paths, "output") as files:
            files[0].write(b"table")
            files[1].write(b"pic")
            raise OSError(28, "No space left on device")
    assert content(tmp_path) == {}
    with write_together(paths, "output") as files:
        for file in files:
            file.write(b"new")
    assert content(tmp_path) == {"a.csv": "new", "a.png": "new"}


def test_an_unwritable_file_is_an_error_before_the_work(tmp_path: Path):
    """Catches minutes of work for a file that cannot be written, and a file left behind by the check."""
    check_writable(tmp_path / "a.txt", "output", ".txt")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match=r"output: .*a\.txt cannot be written: No such file"):
        check_writable(tmp_path / "absent/a.txt", "output", ".txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(ValueError, match="is a folder; give another name"):
        check_writable(tmp_path / "folder.txt", "output", ".txt")
    with pytest.raises(ValueError, match=r"output is a\.png; its name must end in \.txt"):
        check_writable(Path("a.png"), "output", ".txt")


def test_a_second_writer_is_refused_and_harms_nothing(tmp_path: Path):
    """Catches two writers of the same partial file, and a check that removes the file of another writer."""
    path = tmp_path / "a.txt"
    with write_atomically(path, "output") as file:
        file.write(b"first")
        with pytest.raises(UserError, match=r"output: another process is writing .*a\.txt"):
            check_writable(path, "output", ".txt")
        with pytest.raises(UserError, match="another process is writing"), write_atomically(path, "output") as second:
            second.write(b"second")
    assert content(tmp_path) == {"a.txt": "first"}


def _die_while_writing(path: Path) -> None:
    with write_atomically(path, "output") as file:
        file.write(b"x" * 100_000)
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


def test_the_partial_file_of_a_killed_process_is_taken_over(tmp_path: Path):
    """Catches a lock or a rest of content that outlives its process."""
    path = tmp_path / "a.txt"
    assert fork(_die_while_writing, path) == -signal.SIGKILL
    assert [(file.name, file.stat().st_size) for file in tmp_path.iterdir()] == [(".a.txt.partial", 100_000)]
    with write_atomically(path, "output") as file:
        file.write(b"new")
    assert content(tmp_path) == {"a.txt": "new"}


def test_partial_files_of_killed_processes_are_removed(tmp_path: Path):
    """Catches partial files that stay for ever, and other files removed with them."""
    (tmp_path / "checkpoints").mkdir()
    for name in (".a.yaml.partial", "checkpoints/.best.ckpt.partial", "checkpoints/best.ckpt", "a.partial", ".lock"):
        (tmp_path / name).touch()
    (tmp_path / ".trial_1.partial").mkdir()
    (tmp_path / ".trial_1.partial/events").touch()
    remove_partials(tmp_path)
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {"checkpoints", "checkpoints/best.ckpt", "a.partial", ".lock"}


def test_a_folder_appears_when_complete(tmp_path: Path):
    """Catches a row of a trial written in part, and doubled by the next worker into the same partial folder."""
    folder = tmp_path / "trial_1"
    (tmp_path / ".trial_1.partial").mkdir()
    (tmp_path / ".trial_1.partial/old").touch()
    with pytest.raises(KeyError), make_folder_when_complete(folder) as partial:
        (partial / "events").write_text("half")
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    with make_folder_when_complete(folder) as partial:
        (partial / "events").write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["trial_1"]
    assert content(folder) == {"events": "whole"}


def test_an_unwritable_folder_is_an_error_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches minutes of work for a folder that cannot be written, and folders that the check leaves."""
    (tmp_path / "old").mkdir()
    for path in (tmp_path / "a/b/c", tmp_path / "old"):
        check_folder(path, "output")
    assert [path.name for path in tmp_path.rglob("*")] == ["old"]
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"output: .*file is a file; give the name of a folder"):
        check_folder(tmp_path / "file", "output")
    with pytest.raises(UserError, match=r"output: .*file/a cannot be written: Not a directory"):
        check_folder(tmp_path / "file/a", "output")

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mm_lightning.files.TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"output: .*a/b cannot be written: Permission denied"):
        check_folder(tmp_path / "a/b", "output")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "old"]


def test_new_folders_go_with_a_failed_write(tmp_path: Path):
    """Catches parents that stay where nothing was written, and a folder of before that is removed."""
    (tmp_path / "old").mkdir()
    for path in (tmp_path / "old/a/b", tmp_path / "old"):
        with pytest.raises(UserError), folder_for_files(path, "output"), write_together([path / "x"], "output"):
            raise OSError(28, "No space left on device")
        assert [each.name for each in tmp_path.rglob("*")] == ["old"]
    with folder_for_files(tmp_path / "old/a/b", "output"):
        pass
    assert (tmp_path / "old/a/b").is_dir()


def test_a_folder_is_made_with_its_parents(tmp_path: Path):
    """Catches a file in the way that is taken for a folder."""
    make_folder(tmp_path / "a/b/c")
    make_folder(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="exists"):
        make_folder(tmp_path / "file")
