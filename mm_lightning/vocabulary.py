"""The characters a model knows, and their numbers.

Id 0 is the boundary: it stands before a word's first character and after its last, and is no character itself. It is
shown as a dot, yet a real dot in the data is a character like any other, with an id of its own.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

BOUNDARY = 0
BOUNDARY_SYMBOL = "."


def shown(character: str) -> str:
    """The character where it can be seen, else its escape."""
    return character if character.isprintable() and not character.isspace() else ascii(character)


class Vocabulary:
    """A two-way map between characters (Unicode code points) and ids 1 to `len(alphabet)`.

    Args:
        alphabet: The characters, each once; the first has id 1.

    Raises:
        ValueError: If the alphabet is empty or repeats a character.
    """

    def __init__(self, alphabet: str) -> None:
        if not alphabet:
            raise ValueError("the alphabet is empty: give at least one character")
        if len(set(alphabet)) != len(alphabet):
            raise ValueError(f"the alphabet repeats a character: {alphabet!r}")
        self.alphabet = alphabet
        codes = np.array([ord(c) for c in alphabet])
        self._id_of_code = np.zeros(codes.max() + 2, np.int32)  # the spare last row serves every larger code
        self._id_of_code[codes] = np.arange(1, len(alphabet) + 1)

    def __len__(self) -> int:
        """Number of ids V, the boundary among them."""
        return len(self.alphabet) + 1

    def encode(self, codes: NDArray[np.uint32]) -> NDArray[np.int32]:
        """Ids of code points, shape as given.

        Raises:
            ValueError: Names the characters that are not in the alphabet.
        """
        ids = self._id_of_code[np.minimum(codes, len(self._id_of_code) - 1)]
        if not ids.all():
            unknown = " ".join(repr(chr(c)) for c in np.unique(codes[ids == 0])[:10])
            raise ValueError(f"not in the model's alphabet: {unknown}")
        return ids

    def encode_word(self, word: str) -> list[int]:
        """Ids of one word's characters, without boundaries; raises as `encode` does."""
        return [int(i) for i in self.encode(np.array([ord(c) for c in word], np.uint32))]

    def decode(self, ids: Iterable[int]) -> str:
        """Characters of ids that hold no boundary."""
        return "".join(self.alphabet[i - 1] for i in ids)

    def symbols(self) -> list[str]:
        """What to show for each id in turn, the boundary first."""
        return [BOUNDARY_SYMBOL, *map(shown, self.alphabet)]
