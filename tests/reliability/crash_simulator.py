"""Crash simulator: records how a program changes a folder, and yields each state that a crash can leave on the disk.

The model is that of ALICE (Pillai et al., OSDI 2014) for the weakest file system: until a file is synced, any part of
its writes can be lost or torn, and its length can be on the disk before its content. Until a folder is synced, each
change of its entries (new file, new folder, rename, removal) can be lost, independently of the others and of contents.
"""

import builtins
import io
import itertools
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

Tree = dict[str, bytes]  # content of each file by its path
_MAX_SUBSETS = 64  # of unsynced changes of entries, for one crash point; of more, a random sample


@dataclass(frozen=True)
class Write:
    """Bytes written to a file."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    """New length of a file."""

    inode: int
    length: int


@dataclass(frozen=True)
class Entry:
    """Change of folder entries, each a folder's inode and a name: `new` points to the inode, `old` is gone."""

    inode: int
    new: tuple[int, str] | None
    old: tuple[int, str] | None = None

    @property
    def folders(self) -> set[int]:
        return {place[0] for place in (self.new, self.old) if place is not None}


@dataclass(frozen=True)
class Sync:
    """Sync of a file or folder."""

    inode: int


@dataclass
class Recording:
    """Changes of a folder in their order, and the folder before and after."""

    root: Path
    before: Tree = field(default_factory=dict)
    after: Tree = field(default_factory=dict)
    changes: list[Any] = field(default_factory=list)
    files: dict[int, bytes] = field(default_factory=dict)  # contents before, by inode
    entries: dict[tuple[int, str], int] = field(default_factory=dict)  # folder entries before
    folders: set[int] = field(default_factory=set)
    _unused: Iterator[int] = field(default_factory=itertools.count)
    _numbers: dict[int, int] = field(default_factory=dict)  # inodes as here, by inode of the system, which reuses them

    def inode(self, system_inode: int, is_new: bool = False) -> int:
        """Number of an inode; a new one has a number of its own."""
        if is_new or system_inode not in self._numbers:
            self._numbers[system_inode] = next(self._unused)
        return self._numbers[system_inode]

    def states(self, seed: int = 0) -> Iterator[tuple[int, Tree]]:
        """Each different state of the disk after a crash, with the number of changes carried out before the crash."""
        rng, seen = random.Random(seed), set()
        for count in range(len(self.changes) + 1):
            for tree in self._states_after(self.changes[:count], rng):
                key = (count == len(self.changes), frozenset(tree.items()))
                if key not in seen:
                    seen.add(key)
                    yield count, tree

    def _states_after(self, changes: list[Any], rng: random.Random) -> Iterator[Tree]:
        synced: dict[int, int] = {change.inode: number for number, change in enumerate(changes) if type(change) is Sync}
        entries, contents = [], {}
        for number, change in enumerate(changes):
            if type(change) is Entry:
                is_safe = all(synced.get(folder, -1) > number for folder in change.folders)
                entries.append((change, is_safe))
            elif type(change) in (Write, Truncate):
                is_safe = synced.get(change.inode, -1) > number
                contents.setdefault(change.inode, []).append((change, is_safe))
        files = {inode: list(_contents(self.files.get(inode, b""), those, rng)) for inode, those in contents.items()}
        for kept in _subsets([is_safe for _, is_safe in entries], rng):
            tree = self._entries([change for (change, _), is_kept in zip(entries, kept, strict=True) if is_kept])
            for choice in itertools.product(*files.values()):
                yield self._tree(tree, self.files | dict(zip(files, choice, strict=True)))

    def _entries(self, changes: list[Entry]) -> dict[tuple[int, str], int]:
        result = dict(self.entries)
        for change in changes:
            if change.old is not None:
                result.pop(change.old, None)
            if change.new is not None:
                result[change.new] = change.inode
        return result

    def _tree(self, entries: dict[tuple[int, str], int], files: dict[int, bytes]) -> Tree:
        result: Tree = {}

        def visit(folder: int, path: str) -> None:
            for (parent, name), inode in entries.items():
                if parent == folder and inode in self.folders:
                    visit(inode, f"{path}{name}/")
                elif parent == folder:
                    result[f"{path}{name}"] = files.get(inode, b"")

        visit(0, "")  # the root is the first inode
        return result


def _contents(before: bytes, changes: list[tuple[Any, bool]], rng: random.Random) -> Iterator[bytes]:
    """Contents of a file of whose changes the safe ones are on the disk and any part of the others."""
    loose = [number for number, (_, is_safe) in enumerate(changes) if not is_safe]
    kept_sets = [set(), set(loose), set(loose[: len(loose) // 2]), set(loose[-1:]), set(loose[:-1])]
    kept_sets += [{number for number in loose if rng.random() < 0.5} for _ in range(2 if loose else 0)]
    results = {
        _content(before, [change for number, (change, is_safe) in enumerate(changes) if is_safe or number in kept])
        for kept in kept_sets
    }
    whole = _content(before, [change for change, _ in changes])
    if loose:
        last, _ = changes[loose[-1]]
        earlier = [change for change, _ in changes[: loose[-1]]]
        results.add(bytes(len(whole)))  # the length is on the disk before the content
        if type(last) is Write:
            results.add(_content(before, [*earlier, Write(last.inode, last.offset, last.data[: len(last.data) // 2])]))
    yield from results


def _content(before: bytes, changes: list[Any]) -> bytes:
    content = bytearray(before)
    for change in changes:
        if type(change) is Truncate:
            content = content[: change.length].ljust(change.length, b"\0")
        else:
            content = content.ljust(change.offset, b"\0")
            content[change.offset : change.offset + len(change.data)] = change.data
    return bytes(content)


def _subsets(safe: list[bool], rng: random.Random) -> Iterator[list[bool]]:
    """Masks that keep all safe changes and a subset of the others."""
    loose = safe.count(False)
    if 2**loose <= _MAX_SUBSETS:
        choices: Any = itertools.product((True, False), repeat=loose)
    else:
        choices = [(True,) * loose, (False,) * loose]
        choices += [tuple(rng.random() < 0.5 for _ in range(loose)) for _ in range(_MAX_SUBSETS)]
    for choice in choices:
        rest = iter(choice)
        yield [is_safe or next(rest) for is_safe in safe]


def tree_of(root: Path) -> Tree:
    """Content of each file below a folder."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def materialise(tree: Tree, root: Path) -> None:
    """Write a state of the disk to an empty folder."""
    for name, content in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


@contextmanager
def record(root: Path) -> Iterator[Recording]:
    """Record each change below a folder, by this process and through Python's files and the functions of `os`."""
    recording = Recording(root.resolve(), before=tree_of(root))
    for path in (recording.root, *sorted(recording.root.rglob("*"))):
        inode = recording.inode(path.stat().st_ino)
        if path != recording.root:
            recording.entries[_place(recording, path)] = inode
        if path.is_file():
            recording.files[inode] = path.read_bytes()
        else:
            recording.folders.add(inode)
    with mock.patch.multiple(os, **_recorders(recording)), _recorded_files(recording):
        yield recording
    recording.after = tree_of(root)


def _place(recording: Recording, path: Path) -> tuple[int, str]:
    return recording.inode(path.parent.stat().st_ino), path.name


def _recorders(recording: Recording) -> dict[str, Callable[..., Any]]:
    """Functions of `os` that record and then do as before."""
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace", "unlink", "mkdir", "rmdir")}
    changes, root = recording.changes, recording.root

    def absolute(path: Any, dir_fd: int | None = None) -> Path:
        folder = Path.cwd() if dir_fd is None else Path(f"/proc/self/fd/{dir_fd}").resolve()
        return folder / os.fsdecode(path)

    def open_(path: Any, flags: int, *args: Any, dir_fd: int | None = None) -> int:
        full = absolute(path, dir_fd)
        is_new = bool(flags & os.O_CREAT) and full.is_relative_to(root) and not full.exists()
        descriptor: int = real["open"](path, flags, *args, dir_fd=dir_fd)
        if is_new:
            changes.append(Entry(recording.inode(os.fstat(descriptor).st_ino, is_new=True), _place(recording, full)))
        return descriptor

    def fsync(file: Any) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        real["fsync"](descriptor)
        changes.append(Sync(recording.inode(os.fstat(descriptor).st_ino)))

    def rename(old: Any, new: Any) -> None:
        change = Entry(
            recording.inode(absolute(old).stat().st_ino),
            _place(recording, absolute(new)),
            _place(recording, absolute(old)),
        )
        real["replace"](old, new)
        changes.append(change)

    def remove(kind: str) -> Callable[..., None]:
        def function(path: Any, *, dir_fd: int | None = None) -> None:
            full = absolute(path, dir_fd)
            change = Entry(-1, None, _place(recording, full)) if full.is_relative_to(root) else None
            real[kind](path, dir_fd=dir_fd)
            if change is not None:
                changes.append(change)

        return function

    def mkdir(path: Any, *args: Any, **options: Any) -> None:
        real["mkdir"](path, *args, **options)
        full = absolute(path)
        if full.is_relative_to(root):
            inode = recording.inode(full.stat().st_ino, is_new=True)
            recording.folders.add(inode)
            changes.append(Entry(inode, _place(recording, full)))

    return {
        "open": open_,
        "fsync": fsync,
        "replace": rename,
        "rename": rename,
        "unlink": remove("unlink"),
        "rmdir": remove("rmdir"),
        "mkdir": mkdir,
    }


@contextmanager
def _recorded_files(recording: Recording) -> Iterator[None]:
    """Let files opened for writing record each write."""
    real_open = builtins.open

    class RecordingFile(io.FileIO):
        def write(self, data: Any) -> int:
            offset = self.seek(0, os.SEEK_END) if "a" in self.mode else self.tell()
            count = super().write(data)
            recording.changes.append(Write(inode_of(self), offset, bytes(data)[:count]))
            return count

        def truncate(self, size: int | None = None) -> int:
            length = super().truncate(size)
            recording.changes.append(Truncate(inode_of(self), length))
            return length

    def inode_of(file: io.FileIO) -> int:
        return recording.inode(os.fstat(file.fileno()).st_ino)

    def is_recorded(file: Any, mode: str) -> bool:
        is_inside = isinstance(file, int) or Path(os.fsdecode(file)).resolve().is_relative_to(recording.root)
        return is_inside and bool(set(mode) & set("wax+"))

    def opener(path: str, flags: int) -> int:
        return os.open(path, flags & ~os.O_TRUNC, 0o666)

    def open_(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        if not is_recorded(file, mode):
            return real_open(file, mode, *args, **options)
        raw_mode = mode.replace("b", "").replace("t", "")
        raw = RecordingFile(file, raw_mode, opener=None if isinstance(file, int) else opener)
        if not isinstance(file, int) and "w" in mode:
            raw.truncate(0)
        buffered = io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding="utf-8")

    with mock.patch.object(io, "open", open_), mock.patch.object(builtins, "open", open_):
        yield
