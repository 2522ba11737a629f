"""Characters trained on per second: plain PyTorch in makemore's design against `fit`, same network and batch, in turn.

A batch is 32 items. The MLP trains on windows, so its batch is the mean number of windows of 32 items. The plain loop
only trains, so the ratio compares the time between epoch ends. A separate figure includes the validation, samples and
checkpoints of `fit` at the end of each epoch.
"""

import itertools
import statistics

import torch
from plain import PlainGRU, PlainLSTM, PlainMLP, PlainTransformer, targets_per_second
from step import DATA, points

BATCH_SIZE = 32  # items
ROUNDS = 3
STEPS_PER_EXECUTION = 100  # also the steps between two points of the curve
ADAMW = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", "0.0005", "--model.optimizer.fused", "true")
MLP = ("MLP", "--model.network.block_size", "16", "--model.network.embed_dim", "64", "--model.network.hidden_dim", "64")
TWO_MINUTES = ("--trainer.max_time", "00:00:02:00")  # of a run that is long enough to be compiled
CASES = {  # name: baseline, its steps, our network, its steps
    "MLP": (PlainMLP, 300, MLP, 50_000),
    "GRU": (PlainGRU, 200, ("GRU",), 50_000),
    "LSTM": (PlainLSTM, 200, ("LSTM",), 50_000),
    "Transformer": (PlainTransformer, 100, ("Transformer", *TWO_MINUTES), 33_000),
}


def fit_targets_per_second(network: tuple[str, ...], steps: int) -> tuple[float, float]:
    """Characters per second of `fit`: between epoch ends, and with epoch ends included."""
    items = DATA.read_text(encoding="utf-8").split()
    mean = sum(map(len, items)) / len(items) + 1
    is_window = network[0] == "MLP"
    batch_size = round(BATCH_SIZE * mean) if is_window else BATCH_SIZE
    name, *options = network
    found = points(
        *("--data.path", str(DATA), "--data.batch_size", str(batch_size)),
        *("--model.network", f"mm_lightning.networks.{name}", *options, *ADAMW),
        *("--trainer.max_steps", str(steps), "--trainer.steps_per_execution", str(STEPS_PER_EXECUTION)),
        *("--trainer.log_every_n_steps", str(STEPS_PER_EXECUTION)),
    )
    targets = batch_size if is_window else batch_size * mean
    times = [(b - a) / (n - m) for (m, a), (n, b) in itertools.pairwise(found)]
    (first, began), (last, ended) = found[0], found[-1]
    return targets / statistics.median(times), targets * (last - first) / (ended - began)


def measure(rounds: int = ROUNDS) -> dict[str, dict[str, list[float]]]:
    """Characters per second of each network, each way, one figure per round."""
    figures: dict[str, dict[str, list[float]]] = {
        name: {"plain": [], "fit": [], "fit, epoch ends included": []} for name in CASES
    }
    for _ in range(rounds):
        for name, (plain, plain_steps, network, steps) in CASES.items():
            figures[name]["plain"].append(targets_per_second(plain, DATA, BATCH_SIZE, plain_steps))
            training, everything = fit_targets_per_second(network, steps)
            figures[name]["fit"].append(training)
            figures[name]["fit, epoch ends included"].append(everything)
    return figures


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, both in measure().items():
        ratios = [ours / theirs for ours, theirs in zip(both["fit"], both["plain"], strict=True)]
        rates = "  ".join(f"{way} {statistics.median(values):10,.0f}/s" for way, values in both.items())
        print(f"{name:<12} {rates} {statistics.median(ratios):6.1f} x   ({min(ratios):.1f} to {max(ratios):.1f})")
