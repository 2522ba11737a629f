"""The card of a model: a Markdown file that says what was trained on what, and what was measured.

The head is YAML as model hubs read it. Its `model-index` holds every measure, so `verify` reads them from the card.
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary, WordVocabulary, abbreviated
from mm_lightning.evaluation.comparison import Comparison, as_text
from mm_lightning.export.facts import Facts, Loss

_HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_LIBRARY = "library_name: mm-lightning"
_UNSEEN = "nll_unseen"
_MAX_WORDS = 10  # of an alphabet, in the card
_TOKENS = {True: "words", False: "characters"}
_PROGRAM = (
    "One step of sampling, as {}. It reads ids and a state, which is zeros at the start, and returns the "
    "logits of the next id and the new state. The metadata have the tokens by id.\n\n```python\n{}\n```"
)
_OPENERS = {  # of an exported file, by its ending, with the place of its name
    ".html": "Open `{0}` in a browser; it needs no network connection.",
    ".onnx": _PROGRAM.format("an ONNX program", "import onnxruntime\n\nmodel = onnxruntime.InferenceSession({1})"),
    ".pt2": _PROGRAM.format("a program of torch.export", "import torch\n\nmodel = torch.export.load({1}).module()"),
}

Measures = dict[tuple[str, str], float]  # by part, such as dev or samples, and by name, such as nll


@dataclass(frozen=True)
class Card:
    """A card as `verify` reads it.

    Args:
        data_hash: SHA-256 of the data file in hexadecimal; None if nothing was measured.
        measures: The measures.
    """

    data_hash: str | None
    measures: Measures


def measures_of(losses: Mapping[str, Loss], quality: Comparison) -> Measures:
    """List the losses of splits and the measures of all samples by part and name."""
    result: Measures = {}
    for split, loss in losses.items():
        result[split, "nll"] = loss.all
        if loss.unseen is not None:
            result[split, _UNSEEN] = loss.unseen
    row = next(iter(quality.rows.values()))
    return result | {("samples", name): float(value) for name, value in row.items() if value is not None}


def card_text(
    facts: Facts, vocabulary: Vocabulary, quality: Comparison | None, loss_note: str = "", file: Path | None = None
) -> str:
    """Write the card.

    Args:
        facts: The facts.
        vocabulary: The vocabulary of the model.
        quality: Measures of samples; None if the data are not at hand.
        loss_note: How items count in the losses; empty where each counts once.
        file: The exported file; None for a folder.
    """
    parts = [
        _head(facts, {} if quality is None else measures_of(facts.losses, quality)),
        f"# {_escaped(facts.title)}",
        f"A model of the items in `{facts.data_name}`: it makes more items like them.\n"
        f"{facts.network}, {facts.num_parameters:,} parameters, made with mm_lightning.",
        _use(facts, file, is_measured=quality is not None),
        _data(facts, vocabulary),
        _training(facts),
        *_results(facts, quality, loss_note),
        _limits(quality, has_words=isinstance(vocabulary, WordVocabulary)),
    ]
    return "\n\n".join(parts) + "\n"


def _head(facts: Facts, measures: Measures) -> str:
    """YAML for model hubs."""
    results = []
    for part in dict.fromkeys(part for part, _ in measures):
        metrics = [{"type": name, "value": round(value, 6)} for (of, name), value in measures.items() if of == part]
        dataset = {"name": facts.data_name, "type": "text", "split": part, "revision": facts.data_hash}
        results.append({"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics})
    head: dict[str, Any] = {
        **yaml.safe_load(_LIBRARY),
        "pipeline_tag": "text-generation",
        "tags": ["makemore", "pytorch", "lightning"],
    }
    if results:
        head["model-index"] = [{"name": facts.title, "results": results}]
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---"


def _use(facts: Facts, file: Path | None, is_measured: bool) -> str:
    """How to open what lies beside the card, and how to verify the card."""
    if file is None:
        opener = (
            "Where mm_lightning is installed, with the weights of this model (`model.safetensors` and `config.json`) "
            f"in FOLDER:\n\n{_command('predict --ckpt_path FOLDER')}"
        )
        claims, options = "To verify this card:", "FOLDER"
    else:
        opener = _OPENERS[file.suffix].format(_one_line(file.name), json.dumps(file.name, ensure_ascii=False))
        claims = "To verify this card (CARD) where mm_lightning is installed, with the model's checkpoint (CHECKPOINT):"
        options = "CARD --ckpt_path CHECKPOINT"
    path = shlex.quote(facts.data_name.replace(", ", ","))
    verify = f"{claims}\n\n{_command(f'verify {options} --data.path {path}')}"
    return "\n\n".join(["## Use", opener, *([verify] if is_measured else [])])


def _command(arguments: str) -> str:
    return f"```bash\npython -m mm_lightning {arguments}\n```"


def _data(facts: Facts, vocabulary: Vocabulary) -> str:
    alphabet = vocabulary.alphabet
    kind = _TOKENS[isinstance(alphabet, list)]
    more = ", ..." if len(alphabet) > _MAX_WORDS else ""
    shown = abbreviated(alphabet) if isinstance(alphabet, str) else ", ".join(alphabet[:_MAX_WORDS]) + more
    lines = [f"- File: `{facts.data_name}`"]
    lines += [f"- SHA-256: `{facts.data_hash}`"] if facts.data_hash else []
    lines += [f"- Items: {facts.num_lines:,}, split `{facts.split}`"] if facts.num_lines is not None else []
    return "\n".join(["## Data\n", *lines, f"- Alphabet, {len(alphabet)} {kind}: `` {_one_line(shown)} ``"])


def _training(facts: Facts) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in facts.versions.items())
    text = f"## Training\n\n```bash\n{facts.command}\n```"
    if facts.config:
        text += f"\n\n`config.yaml`:\n\n```yaml\n{facts.config.rstrip()}\n```"
    if facts.notes:
        text += "\n\n```text\n" + "\n".join(facts.notes) + "\n```"
    return f"{text}\n\n{facts.steps:,} optimiser steps, seed {facts.seed}. {versions}. Exported on {facts.date}."


def _results(facts: Facts, quality: Comparison | None, loss_note: str) -> list[str]:
    """The sections of losses and of samples."""
    if quality is None:
        return ["## Results\n\nNothing was measured: the data were not at hand."]
    rows = ["| split | items | loss | loss of items that the train split lacks |", "|---|---|---|---|"]
    for split, loss in facts.losses.items():
        unseen = "" if loss.unseen is None else f"{loss.unseen:.4f}"
        rows.append(f"| {split} | {loss.num_items:,} | {loss.all:.4f} | {unseen} |")
    held_out = "" if "dev" in facts.losses else " No item is held out, so the loss says little; see Training."
    unit = f"Nats per target{loss_note and f', {loss_note}'}"
    return [
        f"## Loss\n\n{unit}; the end of an item is a target.{held_out}\n\n" + "\n".join(rows),
        f"## Samples\n\nMeasures of the command `quality`, seed 42.\n\n```text\n{as_text(quality)}\n```",
    ]


def _limits(quality: Comparison | None, has_words: bool) -> str:
    lines = ["The model knows this list alone, with its gaps and its bias, and nothing of what items mean."]
    new = None if quality is None else next(iter(quality.rows.values()))["new"]
    if new is not None:
        lines.append(f"Of the different samples, {1 - new:.1%} are training items.")
    lines += [
        "A new item may still be the name of a person, a product or a place.",
        "A word outside the alphabet is never made, and is scored as <unk>."
        if has_words
        else "A character outside the alphabet can be neither made nor scored.",
    ]
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in lines)


def _escaped(text: str) -> str:
    """Escape what Markdown reads as markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|])", r"\\\1", text)


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text).replace("`", "'")


def is_card(path: Path) -> bool:
    """Check whether a file begins as a card does."""
    start = f"---\n{_LIBRARY}".encode()
    try:
        with path.open("rb") as file:
            return file.read(len(start)) == start
    except OSError:
        return False


def read_card(text: str, name: str) -> Card:
    """Read the measures of a card.

    Args:
        text: The card.
        name: Its path, for errors.

    Raises:
        UserError: If the card has no measures.
    """
    match = _HEAD.match(text)
    try:
        head = yaml.safe_load(match[1]) if match else None
        results = head["model-index"][0]["results"] if isinstance(head, dict) else []
        measures = {
            (str(result["dataset"]["split"]), str(metric["type"])): float(metric["value"])
            for result in results
            for metric in result["metrics"]
        }
        data_hash = results[0]["dataset"]["revision"] if results else None
    except (yaml.YAMLError, KeyError, IndexError, TypeError, ValueError, RecursionError):
        measures, data_hash = {}, None
    if not measures:
        raise UserError(f"{name} has no measures to verify; it is no card, or its data were not at hand")
    return Card(data_hash, measures)
