"""The options of sampling: the `--sampling.*` settings of `predict`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mm_lightning import UserError
from mm_lightning.data.ranges import (
    Count,
    EditCount,
    ItemLength,
    MinItemLength,
    PositiveFraction,
    Seed,
    Size,
    Temperature,
)

SAMPLE_BATCH_SIZE = 1024  # rows sampled together
NUM_PARTICLES = 64  # rows of a sample where conditions are approximate
SMALLEST_BATCH = SAMPLE_BATCH_SIZE // NUM_PARTICLES  # samples


@dataclass
class SamplingOptions:
    r"""The options of sampling; a token is a character, or a word in a model of sentences.

    `temperature`, `top_k` and `top_p` change the model's distribution of items. Samples follow this distribution under
    the conditions `prefix`, `suffix`, `contains`, `pattern`, `exclude`, `near`, `min_length` and `max_length`. `unique`
    and `only_new` leave out samples. `sampling/strategy.py` says where samples are exact, and where approximate.

    Args:
        num_samples: Number of items.
        temperature: Divisor of the logits. Below 1 favours likely tokens; 0 always takes the most likely
            token.
        top_k: Sample only from the k most likely tokens; null: from all tokens.
        top_p: Sample only from the most likely tokens that together reach this probability.
        prefix: Text at the start of every item, as in "jo". For a model of sentences: whole words, as in "the old".
        suffix: Text at the end of every item.
        contains: Text anywhere in every item.
        pattern: Pattern of the whole item, as in "j..n" or "m*a"; empty: any item. "." matches one token, "*" matches
            any number of tokens or none. A backslash makes the next character literal, as in "st\. *". For a model of
            sentences, "." and "*" stand between spaces, as in "the . dog *".
        min_length: Minimum number of tokens. The prefix counts.
        max_length: Maximum number of tokens, at least min_length. The prefix counts.
        exclude: Texts that occur in no item, as in "xx,qu". "@words.txt" is a file with one text per line. A YAML list
            takes texts with commas, or with spaces at an end. For a model of sentences: whole words.
        near: Word that every item resembles, as in "emma"; the word itself is such an item. `edits` is the limit.
        edits: Maximum number of tokens to insert, delete or substitute that turn an item into `near`; null: 2.
        seed: Seed of the random numbers. The same seed gives the same items.
        unique: Write each item only once.
        only_new: Leave out items of the training split.
        beam: Write the most likely items, most likely first, instead of samples; null: samples. The value is the
            width of the beam search, at least num_samples. Exact for a short context, approximate for a long one.
        sort: Order of the items. likelihood: most likely first; length: shortest first; alphabet: by code points; none:
            as sampled. Equal ones stand in alphabetical order.
        show_nll: Write the NLL in nats after each item and a tab. Applies to stdout and a .txt file.
        output: File to write instead of stdout. A .txt file has the items; a .csv or .jsonl file also has the NLL in
            nats of each item, whether the item is new, and its label if the model has labels.
        label: Label of the items, or shares of labels among the items, as in F:0.7,M:0.3; null: the shares in training.
    """

    num_samples: Count = 20
    temperature: Temperature = 1.0
    top_k: Count | None = None
    top_p: PositiveFraction = 1.0
    prefix: str = ""
    suffix: str = ""
    contains: str = ""
    pattern: str = ""
    min_length: MinItemLength = 1
    max_length: ItemLength = 1000
    exclude: list[str] | str = field(default_factory=list)
    near: str = ""
    edits: EditCount | None = None
    seed: Seed = 42
    unique: bool = False
    only_new: bool = False
    beam: Size | None = None
    sort: Literal["none", "likelihood", "length", "alphabet"] = "none"
    show_nll: bool = False
    output: Path | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        rules = {
            "max_length": (self.max_length >= self.min_length, f"at least min_length ({self.min_length})"),
            "beam": (self.beam is None or self.beam >= self.num_samples, f"at least num_samples ({self.num_samples})"),
        }
        for name, (is_valid, rule) in rules.items():
            if not is_valid:
                raise UserError(f"sampling.{name} is {getattr(self, name)}; it must be {rule}")
        if self.edits is not None and not self.near:
            raise UserError(
                f"sampling.edits is {self.edits}, but sampling.near names no word; give one or leave edits out"
            )
        changed = {"temperature": self.temperature != 1, "top_k": self.top_k is not None, "top_p": self.top_p < 1}
        for name, is_changed in changed.items():
            if is_changed and self.beam is not None:
                raise UserError(
                    f"sampling.{name} is {getattr(self, name)}, but sampling.beam ({self.beam}) takes no samples; "
                    "leave one of them out"
                )
