"""Read and check a file of items, one per line.

The file is one array of code points, processed in chunks and never as a list of strings: ten million lines take seconds
and a few hundred megabytes. A pipe such as `<(zcat names.gz)` can be read too, once.
"""

import codecs
import os
import stat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.files.text import count_line_breaks, find_items, text_chunks, to_code_points
from mm_lightning.data.items import Items

MAX_LENGTH = 1000  # characters of one item; a longer line suggests a file that is no list of items
_MAX_STREAM_BYTES = 1 << 28  # read from what is no regular file, such as /dev/zero, and may have no end


def read_items(path: str | Path) -> Items:
    """Read the items of a file, stripped and without blank lines; CRLF is accepted.

    Raises:
        UserError: If `read_text` cannot read the file, or the file has no items, or an item over `MAX_LENGTH`
            characters.
    """
    return parse_items(read_text(Path(path)), str(path))


def parse_items(text: str, source: str) -> Items:
    """Parse the items of a text, as `read_items` does; `source` names the text in errors."""
    code_points, lengths = np.empty(len(text), np.uint8), []
    end = 0  # of the characters so far
    for offset, piece in text_chunks(text):
        points = to_code_points(piece)
        in_item, starts, ends = find_items(points)
        too_long = np.flatnonzero(ends - starts > MAX_LENGTH)
        if len(too_long):
            first = too_long[0]
            line = 1 + count_line_breaks(text, 0, offset + int(starts[first]))
            raise UserError(
                f"{source}: line {line} has {(ends - starts)[first]} characters, over the limit of {MAX_LENGTH}; "
                "put one item per line"
            )
        if points.itemsize > code_points.itemsize:
            code_points = code_points.astype(points.dtype)
        selected = points[in_item]
        code_points[end : end + len(selected)] = selected
        end += len(selected)
        lengths.append((ends - starts).astype(np.int16))
    offsets = np.zeros(sum(map(len, lengths)) + 1, np.int64)
    if len(offsets) == 1:
        raise UserError(f"{source} is empty; it should have one item per line")
    np.cumsum(np.concatenate(lengths), out=offsets[1:])
    return Items(code_points[:end], offsets)


def line_numbers(text: str, indices: NDArray[np.integer]) -> list[int]:
    """Find the lines of a text, counted from 1, on which the items with the ascending indices (n,) stand."""
    numbers, line, position, first = [], 1, 0, 0
    for offset, piece in text_chunks(text):
        _, starts, _ = find_items(to_code_points(piece))
        in_piece = indices[(indices >= first) & (indices < first + len(starts))]
        for start in (offset + starts[in_piece - first]).tolist():  # an item never starts between \r and \n
            line += count_line_breaks(text, position, start)
            numbers.append(line)
            position = start
        first += len(starts)
    return numbers


def read_text(path: Path) -> str:
    """Read a file without its BOM: UTF-8, or UTF-16 with a BOM, which programs of Windows write.

    Raises:
        UserError: If the file cannot be read, has another encoding or NUL characters, or a pipe or device has too much
            to be read.
    """
    try:
        with path.open("rb") as file:
            is_regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            raw = file.read(-1 if is_regular else _MAX_STREAM_BYTES)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; name a text file with one item per line") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; name a text file with one item per line") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # NUL in the name, from a config
        raise UserError(f"{str(path)!r} is no file name; name a text file with one item per line") from None
    if len(raw) == _MAX_STREAM_BYTES and not is_regular:
        raise UserError(f"{path} is no regular file, and has over {_MAX_STREAM_BYTES:_} bytes; save them to a file")
    text = _decode(raw, path)
    if "\0" in text:
        line = 1 + count_line_breaks(text, 0, text.index("\0"))
        raise UserError(
            f"{path} has a NUL character in line {line}; remove it, or convert the file if it is UTF-16, "
            f"for example with: iconv -f utf-16le -t utf-8 {path}"
        )
    return text


def _decode(raw: bytes, path: Path) -> str:
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return raw.decode("utf-16")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path} begins with the mark of UTF-16, but is not UTF-16 (byte {error.start}); save it as UTF-8"
            ) from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        valid, byte = (
            error.object[: error.start],
            error.object[error.start],
        )  # `object` lacks the BOM that `raw` may have
        line = 1 + count_line_breaks(valid.decode(), 0, len(valid))
        raise UserError(
            f"{path} is not UTF-8 (byte 0x{byte:02x} in line {line}); convert it, "
            f"for example with: iconv -f latin1 -t utf-8 {path}"
        ) from None
