"""The tokens of a condition's text, and their ids."""

from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary

NO_ID = -1  # of a token outside the vocabulary, or of one that is never sampled


def split(text: str, vocabulary: Vocabulary) -> list[str]:
    """Split a text into tokens: characters, or words in a model of sentences."""
    return text.split() if isinstance(vocabulary, WordVocabulary) else list(text)


def sampled_ids(vocabulary: Vocabulary) -> dict[str, int]:
    """Map each token that can be sampled to its id."""
    return {token: i for i, token in enumerate(vocabulary.alphabet, 1) if i not in vocabulary.unsampled_ids}
