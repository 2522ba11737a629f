"""The file of a checkpoint: torch's zip archive and a checksum of the whole archive.

torch stores a CRC-32 for each record and does not check it on reading (torch 2.15); headers and padding have none.
The checksum stands in the comment of the zip archive, so `torch.load` opens the file as any other. The checksum is a
CRC-32, against damage and not against forgery: SHA-256 would take a third of the time of a save.
"""

import os
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import torch

from mm_lightning.files import write_atomically

_COMMENT = b"mm_lightning crc32 "  # and eight hexadecimal digits
_COMMENT_BYTES = len(_COMMENT) + 8
_END = b"PK\5\6"  # the last record of a zip archive
_END_BYTES = 22  # of this record without the comment; its last two bytes are the length of the comment
_CHUNK_BYTES = 1 << 20
_FILLED_BYTES = b"\nbytearray\n"  # the one function that torch.load allows and that fills memory of any size


class DamagedArchiveError(Exception):
    """Exception for a file that is not a sound archive of tensors and plain data."""


class _ChecksummedFile:
    """File object for `torch.save` that computes the CRC-32 of all bytes written.

    Args:
        file: The file.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.crc = 0

    def write(self, data: bytes) -> int:
        """Write bytes."""
        self.crc = zlib.crc32(data, self.crc)
        return self._file.write(data)

    def flush(self) -> None:
        """Flush the file."""
        self._file.flush()


def write_archive(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain data; the file takes its name when complete.

    Raises:
        UserError: If the file cannot be written.
    """
    with write_atomically(path, "checkpoint") as file:
        target = _ChecksummedFile(file)
        try:
            torch.save(content, target)  # type: ignore[arg-type] # a part of the methods is enough
        except RuntimeError as error:  # torch's zip writer replaces the error of the disk by one of its own
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        file.seek(-2, os.SEEK_END)
        file.write(_COMMENT_BYTES.to_bytes(2, "little") + _COMMENT + b"%08x" % target.crc)


def read_archive(path: Path) -> Any:
    """Read tensors and plain data, to the CPU, from an archive of this or an older version.

    Raises:
        DamagedArchiveError: If the file is not a sound archive of tensors and plain data.
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        try:
            _check(file)
            file.seek(0)
            with warnings.catch_warnings(action="ignore"):  # of tensors that the schema refuses
                return torch.load(file, map_location="cpu", weights_only=True)
        except OSError:
            raise
        except Exception as error:  # a damaged file fails in as many ways as there are bytes
            raise DamagedArchiveError from error


def _check(file: BinaryIO) -> None:
    """Check the bytes of an archive before torch reads them.

    Raises:
        DamagedArchiveError: If a bit is wrong, a part is missing, or reading would take more memory than the file.
        zipfile.BadZipFile: If the file is no zip archive.
    """
    size = file.seek(0, os.SEEK_END)
    comment = _read(file, size - _COMMENT_BYTES, _COMMENT_BYTES)
    length = _COMMENT_BYTES if comment.startswith(_COMMENT) else 0
    end = _read(file, size - length - _END_BYTES, _END_BYTES)
    if not end.startswith(_END) or int.from_bytes(end[-2:], "little") != length:
        raise DamagedArchiveError
    if length and comment != _COMMENT + b"%08x" % _crc32(file, size - length):
        raise DamagedArchiveError
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        if any(record.compress_type != zipfile.ZIP_STORED for record in records):
            raise DamagedArchiveError
        if len({record.filename for record in records}) < len(records) or sum(r.file_size for r in records) > size:
            raise DamagedArchiveError
        if not length and archive.testzip() is not None:
            raise DamagedArchiveError
        if any(_FILLED_BYTES in archive.read(record) for record in records if record.filename.endswith("/data.pkl")):
            raise DamagedArchiveError


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(max(0, offset))
    return file.read(count)


def _crc32(file: BinaryIO, count: int) -> int:
    """CRC-32 of the archive as torch wrote it, without a comment: of `count` bytes, the last two of them zero."""
    file.seek(0)
    result, rest = 0, count - 2
    while rest > 0 and (chunk := file.read(min(rest, _CHUNK_BYTES))):
        result = zlib.crc32(chunk, result)
        rest -= len(chunk)
    return zlib.crc32(bytes(2), result)
