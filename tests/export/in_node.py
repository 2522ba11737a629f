"""Run the page's JavaScript in node, and models whose logits need no network in JavaScript."""

import json
import shutil
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import mm_lightning
from mm_lightning import UserError
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.export.binary import Binary
from mm_lightning.networks.base import Network
from mm_lightning.networks.parts.label_view import LabelView
from mm_lightning.sampling.labels import label_sampler
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.selection import Selection
from mm_lightning.sampling.strategy import ConditionalSampler

PAGE = Path(mm_lightning.__file__).parent / "export/page"
_NODE = shutil.which("node")
_NAMES = {  # options of the page
    "num_samples": "numSamples",
    "temperature": "temperature",
    "top_k": "topK",
    "top_p": "topP",
    "prefix": "prefix",
    "suffix": "suffix",
    "contains": "contains",
    "min_length": "minLength",
    "max_length": "maxLength",
    "seed": "seed",
    "label": "label",
}
SAMPLE = """
import { sampleItems } from "./sampling/index.js";
import { makeOptions } from "./sampling/options.js";
import { PageError, Vocabulary } from "./vocabulary.js";
import { openModel } from "./payload.js";
export const answer = ({ text, isContextHidden, requests }) => {
  const model = openModel(text);
  model.vocabulary = new Vocabulary(model.vocabularyDescription);
  const { network } = model;
  const read = (ids, state) => network.read(ids, state);
  if (isContextHidden) model.network = { vocabSize: network.vocabSize, context: null, read };
  return requests.map((request) => {
    const items = [];
    try {
      for (const item of sampleItems(model, makeOptions(request))) {
        if (item !== null) items.push(model.labels.length ? `${item.label} ${item.text}` : item.text);
        if (items.length === (request.numSamples ?? 20)) break;
      }
      return { items, error: null };
    } catch (error) {
      if (error instanceof PageError) return { items, error: error.message };
      throw error;
    }
  });
};
"""


def in_node(script: str, value: Any = None) -> Any:
    """Return what the script's function `answer` returns for a value; imports are relative to the page's folder."""
    if _NODE is None:
        pytest.skip("node is not here")
    script = script.replace('from "./', f'from "{PAGE.as_uri()}/')
    script += """
import { readFileSync } from "node:fs";
process.stdout.write(JSON.stringify(answer(JSON.parse(readFileSync(0, "utf8")))));
"""
    command = [_NODE, "--input-type=module", "--eval", script]
    result = subprocess.run(command, input=json.dumps(value), capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@dataclass
class Model:
    """A network and what it reads."""

    network: Network
    vocabulary: Vocabulary
    labels: dict[str, int] = field(default_factory=dict)

    def predicted(self, options: SamplingOptions) -> list[str]:
        """The items that `predict` writes, with their labels before them; none where it says that there are none."""

        def make_sampler(network: Network, options: SamplingOptions) -> ConditionalSampler:
            return ConditionalSampler(network, self.vocabulary, options)

        try:
            sampler = label_sampler(make_sampler, self.network, len(self.vocabulary), self.labels, options)
            selection = Selection(options, lambda items: [True] * len(items), lambda: sampler.num_rows)
            items = selection.items_of(sampler.sample_batch)
        except UserError:
            return []
        return [f"{item.label} {item}" if self.labels else item for item in items]

    def as_table(self, context: int) -> str:
        """The model as the page carries it, with a table of the logits of all windows in double precision."""
        size = len(self.vocabulary)
        rows = torch.stack([_logits_of_windows(self.view(number), size, context) for number in self._numbers])
        binary = Binary("float32")
        tensor = binary.add_tensor("rows", rows.double())
        settings = {"block_size": context, "vocab_size": size}
        network = {"class": "Table", "settings": settings, "tensors": {"rows": tensor}, "members": []}
        return self.payload(network, binary.text())

    @property
    def _numbers(self) -> range:
        return range(max(len(self.labels), 1))

    def view(self, number: int) -> Network:
        return LabelView(self.network, len(self.vocabulary), number).eval() if self.labels else self.network

    def payload(self, network: dict[str, Any], binary: str) -> str:
        """The model as the page carries it, with a description of a network."""
        tokens = [None, *self.vocabulary.alphabet]
        total = sum(self.labels.values())
        has_words = isinstance(self.vocabulary.alphabet, list)
        content = {
            "vocabulary": {
                "kind": "words" if has_words else "characters",
                "tokens": tokens,
                "unsampled": list(self.vocabulary.unsampled_ids),
                "unknown": 1 if has_words else None,
            },
            "labels": list(self.labels),
            "labelShares": [count / total for count in self.labels.values()],
            "network": network,
            "facts": {},
            "seen": None,
        }
        return json.dumps({"json": content, "binary": binary})


def _logits_of_windows(network: Network, size: int, context: int) -> Tensor:
    """Compute the logits (V^C, V) of all windows in the order of their numbers."""
    digits = size ** torch.arange(context - 1, -1, -1)
    with torch.no_grad():
        return network.next_logits(torch.arange(size**context)[:, None] // digits % size)


def requests_of(options: list[SamplingOptions]) -> list[dict[str, Any]]:
    """The options under the names of the page."""
    return [{_NAMES[key]: value for key, value in asdict(each).items() if key in _NAMES} for each in options]


def sampled(text: str, options: list[SamplingOptions], is_context_hidden: bool = False) -> list[dict[str, Any]]:
    """Return the items, and the error or None, that the page makes for each of several options."""
    value = {"text": text, "isContextHidden": is_context_hidden, "requests": requests_of(options)}
    return in_node(SAMPLE, value)  # type: ignore[no-any-return]
