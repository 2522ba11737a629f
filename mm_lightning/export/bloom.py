"""A Bloom filter (1970) of training items: a page asks it whether an item is new, and holds no list of items.

The bits of an item are first + i * stride, for i below the number of hashes (Kirsch and Mitzenmacher 2006). First and
stride are the two halves of the item's 64-bit hash. `page/sampling/bloom.js` asks in the same way.
"""

import math
from dataclasses import dataclass

import numpy as np

from mm_lightning.data.items import Items

_ERROR_RATE = 0.002  # of other items, said to be among the training items; a lower one makes a page too large
_MIN_BITS = 1 << 13  # 1 KiB; in a small filter, many items would have the same bits


@dataclass(frozen=True)
class BloomFilter:
    """A Bloom filter.

    Args:
        content: The bits, the lowest bit of each byte first.
        num_bits: Number of bits.
        num_hashes: Bits per item.
        num_items: Number of different items.
        error_rate: Expected share of other items that the filter says to have.
    """

    content: bytes
    num_bits: int
    num_hashes: int
    num_items: int
    error_rate: float


def make_filter(items: Items) -> BloomFilter:
    """Make the Bloom filter of items, whatever their labels and weights."""
    hashes = np.unique(items.hashes())
    num_hashes = round(-math.log2(_ERROR_RATE))
    num_bits = max(_MIN_BITS, math.ceil(-math.log(_ERROR_RATE) / math.log(2) ** 2 * len(hashes)))
    first, stride = hashes & np.uint64(0xFFFFFFFF), hashes >> np.uint64(32)
    bits = np.zeros(-(-num_bits // 8) * 8, bool)
    for i in range(num_hashes):
        bits[(first + np.uint64(i) * stride) % np.uint64(num_bits)] = True
    error_rate = float(bits.sum() / num_bits) ** num_hashes
    return BloomFilter(np.packbits(bits, bitorder="little").tobytes(), num_bits, num_hashes, len(hashes), error_rate)
