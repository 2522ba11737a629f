"""How good drawn words are, beside the words they imitate.

The measures of MOSES (Polykovskiy et al. 2020) and GuacaMol (Brown et al. 2019) for generated molecules, as far as they
carry over to words. None says much alone: copying the training words is valid, and random letters are new.

Lengths, neighbours and edits are those of tokens: of characters, or for a model of sentences of words, where all that
the vocabulary lacks are one. What is new and what is the same is told by the text.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mm_lightning.data.items import Items, isin_sorted
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.nearest import affordable, nearest

if TYPE_CHECKING:  # imports torch, which measuring does not need
    from mm_lightning.data.datamodule import ItemsDataModule

_MOST = 250_000  # training words that spreads are taken of, any: they are shuffled; 2 million bigrams of names
_BOUNDARY = (1 << 31) - 1  # no id

Counts = tuple[NDArray[np.integer], NDArray[np.int64]]  # different values in rising order, and how often each occurs


@dataclass(frozen=True)
class Quality:
    """Shares and likenesses, each between 0 and 1.

    A likeness is exp(-KL) of how often each value occurs in training to how often among the words drawn: 1 where both
    are alike. Each value of either is counted once more, so that none is impossible; of few words it is so lower.

    Args:
        valid: Draws that ended within the longest training word's length.
        unique: Different words among the valid.
        new: Items, of the different ones, that the train split lacks.
        lengths: Likeness of lengths.
        first: Of first tokens.
        last: Of last tokens.
        bigrams: Of neighbours, boundaries included.
    """

    valid: float
    unique: float
    new: float
    lengths: float
    first: float
    last: float
    bigrams: float


@dataclass(frozen=True)
class Distances:
    """How far new words are from the training words.

    Args:
        words: Different new words in the order of their draws, the first ones where there are very many pairs.
        nearest: A nearest training word of each.
        edits: (W,) tokens to put in, leave out or replace between the two.
    """

    words: Items
    nearest: Items
    edits: NDArray[np.int64]

    def first(self, count: int) -> list[tuple[str, str, int]]:
        """The first so many: the new word, the training word and the edits between them."""
        some = slice(0, count)
        return list(zip(self.words[some], self.nearest[some], self.edits[some].tolist(), strict=True))


class TrainingItems:
    """The training words, as what words are measured against; what takes time is worked out once, when it is needed.

    Args:
        words: The words.
        vocabulary: What a token is.
        hashes: (W,) their hashes, sorted.
        longest: Tokens of the longest.
    """

    def __init__(self, words: Items, vocabulary: Vocabulary, hashes: NDArray[np.uint64], longest: int) -> None:
        self._words = words
        self._vocabulary = vocabulary
        self._hashes = hashes
        self.longest = longest

    @classmethod
    def of(cls, datamodule: "ItemsDataModule") -> "TrainingItems":
        """The train split of a datamodule."""
        longest = int(datamodule.train_lengths.max())
        return cls(datamodule.splits.train, datamodule.vocabulary, datamodule.train_hashes, longest)

    def in_time(self, drawn: Items) -> Items:
        """Those no longer than the longest training word."""
        return drawn.take(np.flatnonzero(self._tokens(drawn).lengths <= self.longest))

    def quality(self, drawn: Items, valid: float) -> Quality:
        """Measure words.

        Args:
            drawn: Those that ended in time, at least one.
            valid: Their share of all that were begun.
        """
        distinct = drawn.unique()
        found = _spreads(self._tokens(drawn))
        likeness = {name: _likeness(expected, found[name]) for name, expected in self._training.items()}
        new = float(np.mean(~isin_sorted(distinct.hashes(), self._hashes)))
        return Quality(valid=valid, unique=len(distinct) / len(drawn), new=new, **likeness)

    def hits(self, drawn: Items, part: Items) -> float | None:
        """Share drawn of a split's words unseen in training, each counted once; None where it has none such."""
        unseen = self._new(part)
        return float(np.mean(np.isin(unseen.hashes(), drawn.hashes()))) if len(unseen) else None

    def distances(self, drawn: Items) -> Distances:
        """How far the new ones among words are from the training words."""
        known = self._words.unique()
        tokens = self._tokens(known)
        new = self._new(drawn)[: affordable(tokens)]
        edits, places = nearest(self._tokens(new), tokens)
        return Distances(new, known.take(places), edits)

    def _new(self, some: Items) -> Items:
        """Items that training lacks, each once."""
        distinct = some.unique()
        return distinct.take(np.flatnonzero(~isin_sorted(distinct.hashes(), self._hashes)))

    @cached_property
    def _training(self) -> dict[str, Counts]:
        return _spreads(self._tokens(self._words[:_MOST]))

    def _tokens(self, words: Items) -> Items:
        """The words with an id for each token in the place of code points."""
        ids, lengths = self._vocabulary.encode(words)
        return Items(ids.view(f"u{ids.itemsize}"), np.concatenate([[0], np.cumsum(lengths)]))


def share_unique(drawn: Items, count: int) -> float | None:
    """Different words among the first so many, as a share; None where there are fewer."""
    return len(drawn[:count].unique()) / count if len(drawn) >= count else None


def _spreads(items: Items) -> dict[str, Counts]:
    """How often each length, first token, last token and bigram occurs in words, none of them empty."""
    values = {
        "lengths": items.lengths,
        "first": items.code_points[items.offsets[:-1]],
        "last": items.code_points[items.offsets[1:] - 1],
        "bigrams": _bigrams(items),
    }
    return {name: np.unique(some, return_counts=True) for name, some in values.items()}


def _bigrams(words: Items) -> NDArray[np.int64]:
    """(S + W,) a number for each pair of neighbours."""
    places = words.offsets + np.arange(len(words) + 1)  # a boundary before each word and one behind the last
    stream = np.full(len(words.code_points) + len(words) + 1, _BOUNDARY, np.int64)
    is_token = np.ones(len(stream), bool)
    is_token[places] = False
    stream[is_token] = words.code_points
    return stream[:-1] * (_BOUNDARY + 1) + stream[1:]


def _likeness(expected: Counts, found: Counts) -> float:
    """exp(-KL) of one spread to another, each value of either counted once more."""
    values = np.union1d(expected[0], found[0])
    p, q = (_shares(values, counts) for counts in (expected, found))
    return float(np.exp(-(p * np.log(p / q)).sum()))


def _shares(values: NDArray[np.integer], counts: Counts) -> NDArray[np.float64]:
    """The share of each of these values where each is counted once more."""
    result = np.ones(len(values))
    result[np.searchsorted(values, counts[0])] += counts[1]
    shares: NDArray[np.float64] = result / result.sum()
    return shares
