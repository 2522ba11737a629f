"""Atomic writing of files."""

from pathlib import Path

import pytest

from mm_lightning.files import check_writable, write_atomically


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_file_unchanged(tmp_path: Path, error: BaseException):
    """Catches an incomplete file, a temporary file left behind, and a traceback for a full disk."""
    path = tmp_path / "a.txt"
    path.write_text("before")
    expected = ValueError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as raised, write_atomically(path, "output") as partial:
        partial.write_text("ha")
        raise error
    if expected is ValueError:
        assert str(raised.value) == f"output: {path} cannot be written: No space left on device"
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.txt", "before")]


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
