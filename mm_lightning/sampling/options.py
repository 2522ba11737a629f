"""What to draw: the settings of `predict`."""

from dataclasses import dataclass
from pathlib import Path

from mm_lightning import UserError

SAMPLE_BATCH_SIZE = 1024  # words drawn together


@dataclass
class SamplingOptions:
    r"""What to draw.

    Items follow the model's own distribution among those that meet `prefix`, `suffix`, `contains`, `pattern`,
    `min_length` and `max_length`: exactly so for a short context (every window fits a table) and wherever one word in
    32 meets them by itself; for other networks by resampling among 64 draws per word, which comes close.
    `temperature`, `top_k` and `top_p` change the distribution first. `unique` and `only_new` leave words out. Drawing
    stops after 100 draws per word asked for (a whole number of blocks of 1,024), and says how many were found.

    In a model of sentences, what is said of characters holds for words.

    Args:
        num_samples: Items wanted.
        temperature: Divides the logits; 0 takes the most likely character each time.
        top_k: Draw from the k most likely characters only; null for all.
        top_p: Draw from the most likely characters that together reach this probability, in (0, 1].
        prefix: How every word begins; for a model of sentences whole words, as in "the old".
        suffix: How every word ends.
        contains: What stands somewhere in every word.
        pattern: What every word is from end to end: "." stands for any one character, "*" for any run of characters,
            none included, and a backslash takes both literally, as in "j..n", "m*a" or "st\. *". For a model of
            sentences "." and "*" stand alone, as in "the . dog *". Empty for anything.
        min_length: Fewest characters (of a sentence: words), the prefix included.
        max_length: Most characters (of a sentence: words), the prefix included.
        seed: Same seed, same words.
        unique: Each word once.
        only_new: Leave out words of the training split.
        beam: Draw nothing and write the most likely words instead, the likeliest first, found by a beam search that
            keeps this many beginnings, at least num_samples; null to draw. For a short context they are the most
            likely ones there are, for other networks the best of those that were met.
        output: File to write instead of stdout: .txt with words, .csv or .jsonl with each word, its NLL in nats and
            whether it is new.
    """

    num_samples: int = 20
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    prefix: str = ""
    suffix: str = ""
    contains: str = ""
    pattern: str = ""
    min_length: int = 1
    max_length: int = 1000
    seed: int = 42
    unique: bool = False
    only_new: bool = False
    beam: int | None = None
    output: Path | None = None

    def __post_init__(self) -> None:
        rules = {
            "num_samples": (self.num_samples >= 1, "at least 1"),
            "temperature": (0 <= self.temperature < float("inf"), "0 or more"),
            "top_k": (self.top_k is None or self.top_k >= 1, "at least 1"),
            "top_p": (0 < self.top_p <= 1, "above 0 and at most 1"),
            "min_length": (self.min_length >= 0, "0 or more"),
            "seed": (self.seed >= 0, "0 or more"),
            "max_length": (
                self.max_length >= max(self.min_length, 1),
                f"at least 1 and min_length ({self.min_length})",
            ),
            "beam": (self.beam is None or self.beam >= self.num_samples, f"at least num_samples ({self.num_samples})"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise UserError(f"sampling.{name} is {getattr(self, name)}; it must be {rule}")
        chance = {"temperature": self.temperature != 1, "top_k": self.top_k is not None, "top_p": self.top_p < 1}
        for name in (name for name, is_set in chance.items() if is_set and self.beam is not None):
            raise UserError(
                f"sampling.{name} is {getattr(self, name)}, but sampling.beam ({self.beam}) draws nothing; "
                "leave one of them out"
            )
