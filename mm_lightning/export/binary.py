"""The numbers of a page as one binary: weights as they are or in half precision, integers packed."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mm_lightning import UserError

Weights = Literal["float32", "float16"]
Description = dict[str, Any]
_ALIGNMENT = 8  # bytes; views of JavaScript begin at multiples of a number's size
_MAX_FLOAT16 = 65_504.0
_CHARACTERS = bytes(sorted(set(range(33, 127)) - set(b'"\\<')))  # printable, and themselves in JSON within HTML


class Binary:
    """Numbers end to end, each array at a multiple of 8 bytes.

    Args:
        weights: Type in which float32 tensors are stored.
    """

    def __init__(self, weights: Weights) -> None:
        self._weights = weights
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, content: bytes) -> int:
        """Add bytes; return their offset."""
        offset = self._size
        padding = -len(content) % _ALIGNMENT
        self._parts += [content, bytes(padding)]
        self._size += len(content) + padding
        return offset

    def add_tensor(self, name: str, tensor: Tensor) -> Description:
        """Add a tensor; return its description.

        Raises:
            UserError: If a weight is too large for float16.
        """
        shape = list(tensor.shape)
        if not tensor.is_floating_point():
            kind, content = _pack_integers(tensor.cpu().numpy().astype(np.int64).ravel())
            return {"dtype": kind, "shape": shape, "offset": self.add(content), "numBytes": len(content)}
        kind = "float64" if tensor.dtype == torch.float64 else self._weights
        values = tensor.detach().cpu()
        largest = float(values.abs().nan_to_num(posinf=0).max()) if values.numel() else 0.0  # logits may be -inf
        if kind == "float16" and largest > _MAX_FLOAT16:
            raise UserError(f"weights is float16, but {name} has a number of {largest:.4g}; leave weights out")
        content = values.to(getattr(torch, kind)).numpy().tobytes()
        return {"dtype": kind, "shape": shape, "offset": self.add(content)}

    def text(self) -> str:
        """All bytes as text, 13 bits in two characters: 8 % shorter than base64."""
        bits = np.unpackbits(np.frombuffer(b"".join(self._parts), np.uint8), bitorder="little")
        rows = np.pad(bits, (0, -len(bits) % 13)).reshape(-1, 13)
        numbers = np.packbits(np.pad(rows, ((0, 0), (0, 3))), axis=1, bitorder="little").view("<u2").ravel()
        characters = np.frombuffer(_CHARACTERS, np.uint8)
        return bytes(characters[np.stack(np.divmod(numbers, len(characters)), 1)]).decode("ascii")


def _pack_integers(values: NDArray[np.int64]) -> tuple[str, bytes]:
    """Pack integers from 0, 7 bits a byte, the lowest bits first; sorted ones as differences, which are smaller."""
    is_sorted = bool((values[1:] >= values[:-1]).all())
    numbers = np.diff(values, prepend=0) if is_sorted else values
    sizes = np.ones(len(numbers), np.int64)  # bytes
    for bits in range(7, 63, 7):
        sizes += numbers >> bits > 0
    starts = np.cumsum(sizes) - sizes
    packed = np.zeros(int(sizes.sum()), np.uint8)
    for i in range(int(sizes.max(initial=0))):
        has_byte, has_next = sizes > i, sizes > i + 1
        packed[starts[has_byte] + i] = ((numbers >> 7 * i & 127) | (has_next.astype(np.int64) << 7))[has_byte]
    return "delta" if is_sorted else "varint", packed.tobytes()
