"""The characters or words a model knows, and their numbers.

A token is what one id stands for: a character, or for a model of sentences a word between white space. Id 0 is the
boundary: it stands before the first token and after the last, and is no token itself. It is shown as a dot, yet a real
dot in the data is a token like any other, with an id of its own.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mm_lightning import UserError
from mm_lightning.data.items import Items, chunks

BOUNDARY = 0
BOUNDARY_SYMBOL = "."
UNKNOWN = "<unk>"  # the word that stands for all words outside the vocabulary, as benchmark texts write it
_BRIEF = 100  # characters of an alphabet that are shown in an error or a table


def shown(character: str) -> str:
    """The character where it can be seen, else its escape."""
    return character if character.isprintable() and not character.isspace() else ascii(character)


def brief(alphabet: str | list[str]) -> str:
    """The alphabet itself where it is a short string, else its size."""
    if isinstance(alphabet, list):
        return f"{len(alphabet):,} words"
    return alphabet if len(alphabet) <= _BRIEF else f"{len(alphabet):,} characters"


class Vocabulary:
    """A two-way map between characters (Unicode code points) and ids 1 to `len(alphabet)`.

    Args:
        alphabet: The characters, each once; the first has id 1.

    Raises:
        UserError: If the alphabet is empty or has something twice.
    """

    never_sampled: tuple[int, ...] = ()  # ids that are read, but not written into new words
    _separator = ""

    def __init__(self, alphabet: str | list[str]) -> None:
        if not alphabet:
            raise UserError("the alphabet is empty: give at least one character")
        if len(set(alphabet)) != len(alphabet):
            raise UserError(f"the alphabet repeats itself: {brief(alphabet)!r}")
        self.alphabet = alphabet

    def __len__(self) -> int:
        """Number of ids V, the boundary among them."""
        return len(self.alphabet) + 1

    @property
    def dtype(self) -> type[np.uint8 | np.int32]:
        """What ids are stored as."""
        return np.uint8 if len(self) <= np.iinfo(np.uint8).max + 1 else np.int32

    @cached_property
    def _id_of_code(self) -> NDArray[np.uint8 | np.int32]:
        codes = np.array([ord(c) for c in self.alphabet])
        result = np.zeros(codes.max() + 2, self.dtype)  # the spare last row serves every larger code
        result[codes] = np.arange(1, len(self))
        return result

    def encode(self, words: Items) -> tuple[NDArray[np.uint8 | np.int32], NDArray[np.int64]]:
        """Ids (S,) of all words, end to end and without boundaries, and how many each word has (W,).

        Raises:
            UserError: Names the characters that are not in the alphabet.
        """
        ids = np.empty(len(words.codes), self.dtype)
        for part in chunks(len(ids)):
            ids[part] = self._id_of_code.take(words.codes[part], mode="clip")
        if not ids.all():
            unknown = " ".join(repr(chr(c)) for c in np.unique(words.codes[ids == 0])[:10])
            raise UserError(f"not in the model's alphabet: {unknown}")
        return ids, words.lengths

    def encode_item(self, word: str) -> list[int]:
        """Ids of one word, without boundaries; raises as `encode` does."""
        codes = np.array([ord(c) for c in word], np.uint32)
        ids: list[int] = self.encode(Items(codes, np.array([0, len(word)])))[0].tolist()
        return ids

    @cached_property
    def _tokens(self) -> NDArray[np.object_]:
        return np.array([None, *self.alphabet], object)  # nothing is written for the boundary

    def decode_all(self, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[str]:
        """Items of ids (S,), end to end and without boundaries, and how many each word has (W,)."""
        tokens = self._tokens[ids].tolist()
        ends = lengths.cumsum().tolist()
        return [self._separator.join(tokens[a:b]) for a, b in zip([0, *ends], ends, strict=False)]

    def decode(self, ids: list[int]) -> str:
        """The word of ids that hold no boundary."""
        return self.decode_all(np.array(ids, np.int64), np.array([len(ids)]))[0]

    def symbols(self) -> list[str]:
        """What to show for each id in turn, the boundary first."""
        return [BOUNDARY_SYMBOL, *map(shown, self.alphabet)]

    def refused(self, words: Items) -> list[str]:
        """Characters of these words for which `encode` would raise, sorted."""
        return sorted(set(words.alphabet()).difference(self.alphabet))


class WordVocabulary(Vocabulary):
    """The same map for the words of sentences: id 1 is the unknown word, which stands for all that have no other.

    Sentences are `Items` too, each one item. White space separates their words and is not kept.

    Args:
        alphabet: `<unk>`, then the words, each once; the first has id 1.

    Raises:
        UserError: If the list does not begin with `<unk>`, has no other word, or has something that is no word.
    """

    never_sampled = (1,)
    _separator = " "

    def __init__(self, alphabet: list[str]) -> None:
        super().__init__(alphabet)
        if alphabet[0] != UNKNOWN or len(alphabet) == 1:
            raise UserError(f"an alphabet of words begins with {UNKNOWN!r} and has at least one word more")
        for token in alphabet:
            if token.split() != [token]:
                raise UserError(f"an alphabet of words has {token!r}, which is not one word")

    @classmethod
    def of(cls, sentences: Items, max_size: int | None) -> "WordVocabulary":
        """The most frequent words of sentences, by falling count; of equal counts the earlier first.

        Args:
            sentences: What to count.
            max_size: Most ids, boundary and unknown word included; null for every word.
        """
        tokens, _ = sentences.tokens()
        hashes, places, counts = np.unique(tokens.hashes(), return_index=True, return_counts=True)
        order = np.lexsort((places, -counts))
        order = order[hashes[order] != Items.of([UNKNOWN]).hashes()]  # a text may write it itself
        kept = order if max_size is None else order[: max_size - 2]
        return cls([UNKNOWN, *tokens.take(places[kept])])

    @cached_property
    def _sorted_hashes(self) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
        """Hashes of the words in rising order, and the ids that belong to them."""
        hashes = Items.of(self.alphabet).hashes()
        order = np.argsort(hashes)
        return hashes[order], (order + 1).astype(np.int32)

    def encode(self, words: Items) -> tuple[NDArray[np.uint8 | np.int32], NDArray[np.int64]]:
        """Ids (S,) of all sentences' words, end to end and without boundaries, and how many each sentence has (W,)."""
        tokens, counts = words.tokens()
        known, ids = self._sorted_hashes
        hashes = tokens.hashes()
        places = np.searchsorted(known, hashes).clip(max=len(known) - 1)
        return np.where(known[places] == hashes, ids[places], 1).astype(self.dtype), counts

    def refused(self, words: Items) -> list[str]:
        """Nothing: there is an id for every word."""
        return []


def make_vocabulary(alphabet: str | list[str]) -> Vocabulary:
    """The vocabulary of an alphabet as a checkpoint holds it: a string of characters, or a list of words."""
    return Vocabulary(alphabet) if isinstance(alphabet, str) else WordVocabulary(alphabet)
