"""The two-way map between tokens and ids.

A token is the unit of an id: a character, or a word for models of sentences. Id 0 is the boundary, which stands before
the first token and after the last one and is no token itself. The boundary is printed as a dot; a dot in the data is an
ordinary token with an id of its own.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from mm_lightning import UserError
from mm_lightning.data.files.text import chunks
from mm_lightning.data.items import Items

BOUNDARY = 0
BOUNDARY_SYMBOL = "."
UNKNOWN = "<unk>"  # stands for every word outside the vocabulary, as in benchmark texts
_MAX_PRINTED_CHARACTERS = 100  # of an alphabet, in an error or a table


class UnknownCharactersError(UserError):
    """Exception for characters outside of an alphabet."""


def printable(character: str) -> str:
    """Return a visible character unchanged, any other one as its escape sequence."""
    return character if character.isprintable() and not character.isspace() else ascii(character)


def abbreviated(alphabet: str | list[str]) -> str:
    """Return a short string alphabet unchanged, any other alphabet as its size."""
    if isinstance(alphabet, list):
        return f"{len(alphabet):,} words"
    return alphabet if len(alphabet) <= _MAX_PRINTED_CHARACTERS else f"{len(alphabet):,} characters"


class Vocabulary:
    """A two-way map between characters (Unicode code points) and ids 1 to `len(alphabet)`.

    Args:
        alphabet: Distinct characters; the first has id 1.

    Raises:
        UserError: If the alphabet is empty or has a repeated token.
    """

    unsampled_ids: tuple[int, ...] = ()  # ids that occur in data but are never generated
    _separator = ""

    def __init__(self, alphabet: str | list[str]) -> None:
        if not alphabet:
            raise UserError("the alphabet is empty: give at least one character")
        if len(set(alphabet)) != len(alphabet):
            raise UserError(f"the alphabet repeats itself: {abbreviated(alphabet)!r}")
        self.alphabet = alphabet

    def __len__(self) -> int:
        """Number of ids V, including the boundary."""
        return len(self.alphabet) + 1

    @property
    def dtype(self) -> type[np.uint8 | np.int32]:
        """Storage type of the ids."""
        return np.uint8 if len(self) <= np.iinfo(np.uint8).max + 1 else np.int32

    @cached_property
    def _id_of_code_point(self) -> NDArray[np.uint8 | np.int32]:
        code_points = np.array([ord(c) for c in self.alphabet])
        result = np.zeros(code_points.max() + 2, self.dtype)  # the last entry, 0, serves every larger code point
        result[code_points] = np.arange(1, len(self))
        return result

    def encode(self, items: Items) -> tuple[NDArray[np.uint8 | np.int32], NDArray[np.int64]]:
        """Encode items.

        Returns:
            Ids of all items, end to end and without boundaries (num_ids,), and ids per item (num_items,).

        Raises:
            UnknownCharactersError: If characters are not in the alphabet; names them.
        """
        ids = np.empty(len(items.code_points), self.dtype)
        for rows in chunks(len(ids)):
            ids[rows] = self._id_of_code_point.take(items.code_points[rows], mode="clip")
        if not ids.all():
            unknown = " ".join(repr(chr(c)) for c in np.unique(items.code_points[ids == 0])[:10])
            raise UnknownCharactersError(f"not in the model's alphabet: {unknown}")
        return ids, items.lengths

    def encode_item(self, item: str) -> list[int]:
        """Encode one item, without boundaries; raises as `encode` does."""
        code_points = np.array([ord(c) for c in item], np.uint32)
        ids: list[int] = self.encode(Items(code_points, np.array([0, len(item)])))[0].tolist()
        return ids

    @cached_property
    def _tokens(self) -> NDArray[np.object_]:
        return np.array([None, *self.alphabet], object)  # the boundary has no token

    def decode_all(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[str]:
        """Decode ids (num_ids,), end to end and without boundaries, with `lengths` ids per item (num_items,)."""
        tokens = self._tokens[ids].tolist()
        ends = lengths.cumsum().tolist()
        return [self._separator.join(tokens[start:end]) for start, end in zip([0, *ends], ends, strict=False)]

    def decode(self, ids: list[int]) -> str:
        """Decode the ids of one item, without boundaries."""
        return self.decode_all(np.array(ids, np.int64), np.array([len(ids)]))[0]

    def symbols(self) -> list[str]:
        """Return a printable symbol per id, the boundary first."""
        return [BOUNDARY_SYMBOL, *map(printable, self.alphabet)]

    def unknown_characters(self, items: Items) -> list[str]:
        """Return the characters for which `encode` would raise, sorted."""
        return sorted(set(items.alphabet()).difference(self.alphabet))


class WordVocabulary(Vocabulary):
    """A two-way map between the words of sentences and ids; id 1 is `<unk>`, which stands for all other words.

    A sentence is an item. White space separates its words; decoding writes one space.

    Args:
        alphabet: `<unk>`, then distinct words; `<unk>` has id 1.

    Raises:
        UserError: If the list does not begin with `<unk>`, has no other word, or has an entry that is not one word.
    """

    unsampled_ids = (1,)
    _separator = " "

    def __init__(self, alphabet: list[str]) -> None:
        super().__init__(alphabet)
        if alphabet[0] != UNKNOWN or len(alphabet) == 1:
            raise UserError(f"an alphabet of words begins with {UNKNOWN!r} and has at least one word more")
        for token in alphabet:
            if token.split() != [token]:
                raise UserError(f"an alphabet of words has {token!r}, which is not one word")

    @classmethod
    def from_sentences(cls, sentences: Items, max_size: int | None) -> "WordVocabulary":
        """Collect the most frequent words, by falling count and then by first occurrence.

        Args:
            sentences: The sentences to count in, each as often as its weight says.
            max_size: Largest number of ids, including the boundary and `<unk>`; None for every word.
        """
        tokens, lengths = sentences.tokens()
        hashes, first, inverse = np.unique(tokens.hashes(), return_index=True, return_inverse=True)
        counts = np.zeros(len(hashes), np.int64)
        np.add.at(counts, inverse, 1 if sentences.weights is None else np.repeat(sentences.weights, lengths))
        order = np.lexsort((first, -counts))
        order = order[hashes[order] != Items.from_strings([UNKNOWN]).hashes()]  # the text may contain `<unk>` itself
        selected = order if max_size is None else order[: max_size - 2]
        return cls([UNKNOWN, *tokens.take(first[selected])])

    @cached_property
    def _sorted_hashes(self) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Hashes of the words in rising order, and the ids of the words in the same order."""
        hashes = Items.from_strings(self.alphabet).hashes()
        order = np.argsort(hashes)
        return hashes[order], (order + 1).astype(np.int32)

    @override
    def encode(self, items: Items) -> tuple[NDArray[np.uint8 | np.int32], NDArray[np.int64]]:
        tokens, counts = items.tokens()
        known, ids = self._sorted_hashes
        hashes = tokens.hashes()
        positions = np.searchsorted(known, hashes).clip(max=len(known) - 1)
        return np.where(known[positions] == hashes, ids[positions], 1).astype(self.dtype), counts

    @override
    def unknown_characters(self, items: Items) -> list[str]:
        return []  # every word has an id


def make_vocabulary(alphabet: str | list[str]) -> Vocabulary:
    """Make the vocabulary of an alphabet from a checkpoint: a string of characters, or a list of words."""
    return Vocabulary(alphabet) if isinstance(alphabet, str) else WordVocabulary(alphabet)


def check_vocabulary_settings(tokens: str, max_vocab: int | None, alphabet: str | list[str] | None) -> None:
    """Check that no setting would be ignored or contradict another.

    Raises:
        UserError: Names both settings.
    """
    if max_vocab is not None and tokens != "words":
        raise UserError(
            f"data.max_vocab is {max_vocab}, but characters are never left out; set --data.tokens words or leave it out"
        )
    if alphabet is None:
        return
    if isinstance(alphabet, list) != (tokens == "words"):
        kind = "a list of words" if isinstance(alphabet, list) else "a string of characters"
        raise UserError(f"data.alphabet is {kind}, but data.tokens is {tokens}; change one of them")
    if max_vocab is not None and len(alphabet) + 1 > max_vocab:
        raise UserError(
            f"data.alphabet makes {len(alphabet) + 1} ids, but data.max_vocab is {max_vocab}; leave one of them out"
        )
