"""Damaged and hostile files are refused in one line by every command; nothing is run and nothing is written."""

import collections
import resource
import warnings
import zipfile
from argparse import ArgumentError
from pathlib import Path
from typing import Any

import pytest
import torch
from damage import cut_or_extended, flipped, hostile, mutated, same
from run_command import fork, run

from mm_lightning import UserError
from mm_lightning.cli.application import Application
from mm_lightning.commands import fit
from mm_lightning.training.checkpoint import load
from mm_lightning.training.checkpoint.lightning_io import AtomicCheckpointIO

OLD = Path(__file__).parents[1] / "training/old_checkpoints"


def _new_file(content: dict[str, Any], folder: Path) -> Path:
    path = folder / "some.ckpt"
    AtomicCheckpointIO().save_checkpoint(content, path)
    return path


def _check_bytes(damaged: Any, expected: dict[str, Any], path: Path) -> collections.Counter[str]:
    """Load each damaged file; count those refused and those with equal content."""
    counts: collections.Counter[str] = collections.Counter()
    for data in damaged:
        path.write_bytes(data)
        try:
            found = load(path)
        except UserError as error:
            assert "\n" not in str(error)
            counts["refused"] += 1
        else:
            assert same(found, expected)
            counts["equal"] += 1
    return counts


def _flips(num_flips: int, num_cuts: int, tmp_path: Path) -> None:
    for name in ("dropout", "counted"):
        expected = load(OLD / f"{name}.ckpt")
        path = _new_file(expected, tmp_path)
        new, old = path.read_bytes(), (OLD / f"{name}.ckpt").read_bytes()
        expected_new = load(path)
        flips = _check_bytes(flipped(new, num_flips), expected_new, path)
        assert flips == {"refused": num_flips}  # every bit is under the checksum
        cuts = _check_bytes(cut_or_extended(new, num_cuts), expected_new, path)
        assert cuts == {"refused": num_cuts}
        old_flips = _check_bytes(flipped(old, num_flips), expected, path)
        old_cuts = _check_bytes(cut_or_extended(old, num_cuts), expected, path)
        assert old_cuts["refused"] >= 0.95 * num_cuts  # more bytes of a hole may be zero already
        print(f"{name}: flips {flips}, cuts {cuts}; without checksum: flips {old_flips}, cuts {old_cuts}")


def test_a_flipped_bit_or_a_missing_end_is_refused(tmp_path: Path):
    """Catches weights and settings that differ from the saved ones by one bit and are used without a word."""
    _flips(80, 40, tmp_path)


@pytest.mark.slow
def test_many_flipped_bits_and_missing_ends_are_refused(tmp_path: Path):
    """Catches weights and settings that differ from the saved ones by one bit and are used without a word."""
    _flips(2000, 500, tmp_path)


def _outcome(path: Path, command: str) -> str:
    """How a command takes a checkpoint, without the work itself: "refused" or "accepted"."""
    try:
        with warnings.catch_warnings(action="ignore"):
            Application([command, "--ckpt_path", str(path), "--trainer.max_steps", "50"], command)
    except UserError as error:
        assert "\n" not in str(error)
        return "refused"
    except ArgumentError:
        return "refused"
    return "accepted"


def _mutations(count: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open changed contents with `fit`; run it where it accepts one."""
    monkeypatch.setattr(fit, "run", lambda *arguments: None)
    counts: collections.Counter[str] = collections.Counter()
    content = load(OLD / f"{name}.ckpt")
    path = _new_file(content, tmp_path)
    assert _outcome(path, "fit") == "accepted"
    for number, (change, mutant) in enumerate(mutated(content, count)):
        AtomicCheckpointIO().save_checkpoint(mutant, path)
        outcome = _outcome(path, "fit")
        counts[outcome] += 1
        if outcome == "accepted":
            folder = tmp_path / str(number)
            folder.mkdir()
            done = run("fit", "--ckpt_path", path, "--trainer.max_steps", 45, cwd=folder)
            lines = done.stderr.splitlines()
            assert "Traceback" not in done.stderr, f"{change}\n{done.stderr[-2000:]}"
            assert done.returncode == 0, f"{change}\n{lines[-1]}"
            print(f"harmless: {change}")
    print(counts)
    assert counts["refused"] > 0.6 * count
    assert counts.total() == count


def test_a_changed_part_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a missing or foreign part that becomes a traceback, after a run folder was made."""
    _mutations(6, "dropout", tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dropout", "steps_of_five", "windows"])
def test_many_changed_parts_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Catches a missing or foreign part that becomes a traceback, after a run folder was made."""
    _mutations(100, name, tmp_path, monkeypatch)


_MOST_MEGABYTES = 300  # that reading a file of a few kilobytes may take


def _read_in_little_memory(path: str) -> None:
    """Exit with 0 if a file is refused, and neither memory nor time is out of proportion."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load(Path(path))
    except UserError as error:
        assert "\n" not in str(error)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < _MOST_MEGABYTES * 1000
        raise SystemExit(0) from None
    raise SystemExit(1)


def test_hostile_files_are_refused_and_run_nothing(tmp_path: Path):
    """Catches code run from a file, and a small file that takes gigabytes or minutes."""
    marker, path, names = tmp_path / "marker", tmp_path / "some.ckpt", []
    for name, data in hostile((OLD / "windows.ckpt").read_bytes(), marker):
        path.write_bytes(data)
        names.append(name)
        assert fork(_read_in_little_memory, str(path), timeout=30) == 0, name
    assert len(names) == 13
    assert not marker.exists()


COMMANDS = {
    "fit": (),
    "validate": (),
    "test": (),
    "predict": (),
    "score": ("emma",),
    "quality": ("--num_samples", 10),
    "plot": (),
    "lr_find": (),
}


def _refused_by(command: str, path: Path, folder: Path) -> None:
    """Run a command on a damaged checkpoint, as a user does."""
    before = sorted(folder.rglob("*"))
    done = run(command, *COMMANDS[command], "--ckpt_path", path, cwd=folder)
    lines = done.stderr.splitlines()
    assert done.returncode in (1, 2), (command, lines)
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:], (command, lines)
    assert "Traceback" not in done.stderr
    assert path.name in lines[-1] or done.returncode == 2
    assert done.stdout == ""
    assert sorted(folder.rglob("*")) == before


def _damaged_samples(count: int) -> list[tuple[str, Any]]:
    """A mixture of bytes and of contents that are refused."""
    data = (OLD / "dropout.ckpt").read_bytes()
    samples: list[tuple[str, Any]] = [
        *(("cut", cut) for cut in cut_or_extended(data, 3)),
        *((name, data) for name, data in hostile((OLD / "windows.ckpt").read_bytes(), Path("marker"))),
    ]
    mutants = mutated(load(OLD / "dropout.ckpt"), 4 * count, seed=1)
    samples += [mutant for mutant in mutants if not mutant[0].startswith("/optimizer") and "lr_sch" not in mutant[0]]
    step = max(1, len(samples) // count)
    return samples[::step][:count]


def _all_commands_refuse(count: int, commands: list[str], tmp_path: Path) -> None:
    tried = 0
    for name, damaged in _damaged_samples(count):
        path = tmp_path / "some.ckpt"
        if isinstance(damaged, bytes):
            path.write_bytes(damaged)
        else:
            AtomicCheckpointIO().save_checkpoint(damaged, path)
            try:
                load(path)
                continue  # a part that nobody reads
            except UserError:
                pass
        for command in commands:
            _refused_by(command, path, tmp_path)
            tried += 1
        print(f"{name}: refused by {len(commands)} commands")
    print(f"{tried} commands on damaged files")
    assert tried >= count * len(commands) // 2, "too many of the changed files are harmless"


def test_a_command_refuses_a_damaged_file(tmp_path: Path):
    """Catches a traceback, a folder or a file that a command leaves before it has read its checkpoint."""
    _all_commands_refuse(2, ["fit", "predict"], tmp_path)


@pytest.mark.slow
def test_every_command_refuses_damaged_files(tmp_path: Path):
    """Catches a traceback, a folder or a file that a command leaves before it has read its checkpoint."""
    _all_commands_refuse(40, list(COMMANDS), tmp_path)


def test_a_newer_format_is_told(tmp_path: Path):
    """Catches a file of a newer version that is called damaged, or read as far as it goes."""
    path = tmp_path / "new.ckpt"
    torch.save({**load(OLD / "windows.ckpt"), "mm_lightning_format": 99}, path)
    with pytest.raises(UserError, match=r"newer version .*\(format 99, this one reads up to 1\); upgrade"):
        load(path)
    done = run("score", "--ckpt_path", path, "emma", cwd=tmp_path)
    assert done.returncode == 1
    assert "newer version of mm_lightning" in done.stderr.splitlines()[-1]


def test_other_programs_open_a_checkpoint(tmp_path: Path):
    """Catches a checksum that hides the file from torch."""
    expected = load(OLD / "windows.ckpt")
    path = _new_file(expected, tmp_path)
    for options in ({}, {"mmap": True}):
        found = torch.load(path, weights_only=True, **options)
        assert found.pop("mm_lightning_format") == 1
        assert found["callbacks"].keys() == expected["callbacks"].keys()
        found["callbacks"] = expected["callbacks"]  # saved with relative paths
        assert same(found, expected)
    assert zipfile.ZipFile(path).testzip() is None
