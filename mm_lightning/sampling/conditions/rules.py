"""The rules that the sampling options set."""

from lightning_utilities.core.rank_zero import WarningCache

from mm_lightning import UserError
from mm_lightning.data.files.reading import read_items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.files import find_shipped
from mm_lightning.sampling.conditions.automata.automaton import Rule
from mm_lightning.sampling.conditions.automata.exclusion import Exclusion
from mm_lightning.sampling.conditions.automata.neighbourhood import Neighbourhood
from mm_lightning.sampling.conditions.automata.pattern import RUN, Pattern, parse
from mm_lightning.sampling.conditions.automata.tokens import NO_ID, sampled_ids, split
from mm_lightning.sampling.options import SamplingOptions

DEFAULT_EDITS = 2
_WHOLE_ITEM: dict[str, tuple[list[int], list[int]]] = {  # option -> what may stand before and after its text
    "suffix": ([RUN], []),
    "contains": ([RUN], [RUN]),
    "pattern": ([], []),
}
_MAX_PRINTED = 3  # texts in a note or an error
_notes = WarningCache()  # a note is printed once, however many samplers a command has


def rules_of(vocabulary: Vocabulary, options: SamplingOptions) -> dict[str, Rule]:
    """Make the rule of each option that is set; prefix and lengths are no rules.

    Raises:
        UserError: If a text has a character outside the vocabulary, or if excluded texts are empty or cannot be read.
    """
    rules: dict[str, Rule] = {}
    for name in _WHOLE_ITEM:
        if text := getattr(options, name):
            rules[name] = _pattern_of(name, text, vocabulary)
    if texts := _excluded_ids(options.exclude, vocabulary):
        rules["exclude"] = Exclusion(texts)
    if options.near:
        rules["near"] = Neighbourhood(_near_ids(options.near, vocabulary), options.edits or DEFAULT_EDITS)
    return rules


def describe(name: str, rule: Rule | None, vocabulary: Vocabulary, options: SamplingOptions) -> str:
    """Write a setting and its value, for an error."""
    if isinstance(rule, Exclusion):
        return f"sampling.exclude {_abbreviated([vocabulary.decode(list(ids)) for ids in rule.texts])}"
    if isinstance(rule, Neighbourhood):
        return f"sampling.near {options.near!r} with sampling.edits {options.edits or DEFAULT_EDITS}"
    return f"sampling.{name} {getattr(options, name)!r}"


def _pattern_of(name: str, text: str, vocabulary: Vocabulary) -> Pattern:
    """Return the pattern of the setting `name`, for the whole item."""
    try:
        elements = parse(text, vocabulary, has_wildcards=name == "pattern")
    except UserError as error:
        raise UserError(f"sampling.{name} is {text!r}: {error}") from None
    before, after = _WHOLE_ITEM[name]
    return Pattern([*before, *elements, *after])


def _excluded_ids(setting: str | list[str], vocabulary: Vocabulary) -> list[list[int]]:
    """Return the ids of the excluded texts that can occur; a note names the others."""
    id_of = sampled_ids(vocabulary)
    texts = list(dict.fromkeys(_excluded_texts(setting)))
    ids = {text: [id_of.get(token, NO_ID) for token in split(text, vocabulary)] for text in texts}
    if not all(ids.values()):
        raise UserError(
            "sampling.exclude has an empty text, which occurs in every item; leave it out (a comma as a text goes into "
            "a file, see --help)"
        )
    if never := [text for text in texts if NO_ID in ids[text]]:
        which = f"{len(never)} of {len(texts)} texts" if len(texts) > 1 else "the text"
        _notes.info(f"sampling.exclude: {which} cannot occur in this model's items: {_abbreviated(never)}")
    return [ids[text] for text in texts if NO_ID not in ids[text]]


def _excluded_texts(setting: str | list[str]) -> list[str]:
    """Split the setting `exclude` into texts, and read the files that it names."""
    if not setting:
        return []
    entries = [entry.strip() for entry in setting.split(",")] if isinstance(setting, str) else setting
    texts: list[str] = []
    for entry in entries:
        if not entry.startswith("@") or entry == "@":
            texts.append(entry)
            continue
        try:
            texts += read_items(find_shipped(entry[1:]))
        except UserError as error:
            raise UserError(f"sampling.exclude is {entry!r}, a file of texts: {error}") from None
    return texts


def _near_ids(word: str, vocabulary: Vocabulary) -> list[int]:
    """Return the ids of the word; a note names tokens that no item has."""
    id_of = sampled_ids(vocabulary)
    tokens = split(word, vocabulary)
    if unknown := [token for token in tokens if token not in id_of]:
        cost = "which costs an edit" if len(unknown) == 1 else "which cost an edit each"
        _notes.info(f"sampling.near is {word!r}: this model's items have no {_abbreviated(unknown)}, {cost}")
    return [id_of.get(token, NO_ID) for token in tokens]


def _abbreviated(texts: list[str]) -> str:
    """Quote the first texts, and count the others."""
    rest = len(texts) - _MAX_PRINTED
    return ", ".join(map(repr, texts[:_MAX_PRINTED])) + (f" and {rest} more" if rest > 0 else "")
