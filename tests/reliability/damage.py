"""Damaged and hostile checkpoint files: flipped bits, cut and extended files, changed parts, pickles that do harm."""

import copy
import io
import math
import pickle
import random
import struct
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

_OTHERS = (  # values that replace a value of another type
    *(None, True, -1, 2**70, 1.5, math.nan, "", "x", "1", [], [1], {}, {"a": 1}, (1, 2), [[]]),
    *(torch.zeros(3), torch.zeros(2, 2, dtype=torch.int64), torch.zeros(()), torch.full((4,), math.nan).to_sparse()),
)


def same(a: Any, b: Any) -> bool:
    """Whether two contents are equal, in types too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


def flipped(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies with one flipped bit each, anywhere."""
    rng = random.Random(seed)
    for bit in rng.sample(range(8 * len(data)), count):
        copy_ = bytearray(data)
        copy_[bit // 8] ^= 1 << bit % 8
        yield bytes(copy_)


def cut_or_extended(data: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """Copies cut at random lengths, with a hole of zeros, or with more bytes before or behind."""
    rng = random.Random(seed)
    for number in range(count):
        length = rng.randrange(len(data))
        if number % 5 == 0:
            yield data + rng.randbytes(1 + length % 100)
        elif number % 5 == 1:
            yield data[:length] + bytes(len(data) - length)
        else:
            yield data[: length if number % 5 == 2 else len(data) - 1 - length % 100]


def mutated(content: dict[str, Any], count: int, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Contents with one part deleted or replaced by a value of another type, at a random depth."""
    rng = random.Random(seed)
    for _ in range(count):
        result = copy.deepcopy(content)
        place, key, path = _random_place(result, rng)
        if rng.random() < 0.4:
            del place[key]
            yield f"{path} deleted", result
        else:
            old = place[key]
            other = rng.choice([value for value in _OTHERS if type(value) is not type(old)])
            place[key] = other
            yield f"{path}: {type(old).__name__} replaced by {str(other)[:20]}", result


def _random_place(content: dict[str, Any], rng: random.Random) -> tuple[Any, Any, str]:
    """A container below the content, one of its keys, and the path; each depth is as likely as any other."""
    place, path = content, ""
    while True:
        key = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        path += f"/{key}"
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.15:
            return place, key, path
        place = inner


def rewritten(data: bytes, change: Any) -> bytes:
    """A zip archive with other records: `change` maps the archive's new file and each old record."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w") as archive:
        for record in source.infolist():
            change(archive, record.filename, source.read(record))
    return target.getvalue()


class Evil:
    """Creates a file when unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return open, (str(self._marker), "w")


def _call(module_and_name: bytes, argument: bytes) -> bytes:
    """A pickle of a dict with the result of a call."""
    return b"\x80\x02}X\x01\x00\x00\x00ac" + module_and_name + b"\n(" + argument + b"tRs."


def hostile(data: bytes, marker: Path) -> Iterator[tuple[str, bytes]]:
    """Files that run code, or take memory or time out of proportion, where they are read with too much trust."""
    yield "empty", b""
    yield "text", b"emma\nolivia\n" * 100
    yield "pickle", pickle.dumps(Evil(marker), protocol=2)
    yield "zip of text", _zipped({"a.txt": b"emma"})

    def with_pickle(new: bytes) -> bytes:
        return rewritten(data, lambda z, name, old: z.writestr(name, new if name.endswith("data.pkl") else old))

    yield "code", with_pickle(pickle.dumps({"a": Evil(marker)}, protocol=2))
    yield "os.system", with_pickle(b"cposix\nsystem\nX%stR." % (struct.pack("<I", 5) + b"false"))
    yield "eight gigabytes", with_pickle(_call(b"__builtin__\nbytearray", b"\x8a\x05" + struct.pack("<q", 2**33)[:5]))

    def compress(archive: zipfile.ZipFile, name: str, old: bytes) -> None:
        is_weight = "/data/" in name
        archive.writestr(name, bytes(50_000_000) if is_weight else old, zipfile.ZIP_DEFLATED)

    yield "zip bomb", rewritten(data, compress)

    def double(archive: zipfile.ZipFile, name: str, old: bytes) -> None:
        archive.writestr(name, old)
        if name.endswith("/data/0"):
            archive.writestr(name, bytes(len(old)))

    with warnings.catch_warnings(action="ignore"):  # of a doubled name, which is the point
        yield "record twice", rewritten(data, double)
    content = torch.load(io.BytesIO(data), weights_only=True)
    deep: list[Any] = []
    shared: list[Any] = [0]
    for _ in range(300):
        deep = [deep]
    for _ in range(30):
        shared = [shared] * 10
    yield "deep list", _saved({**content, "optimizer_states": [{"state": deep}]})
    yield "list of lists", _saved({**content, "optimizer_states": [{"state": shared}]})
    huge, sparse = torch.zeros(1).expand(2**40), torch.zeros(10).to_sparse()
    yield "weight of four terabytes", _saved({**content, "state_dict": dict.fromkeys(content["state_dict"], huge)})
    yield "sparse weight", _saved({**content, "state_dict": dict.fromkeys(content["state_dict"], sparse)})


def _saved(content: Any) -> bytes:
    target = io.BytesIO()
    torch.save(content, target)
    return target.getvalue()


def _zipped(records: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)
    return target.getvalue()
