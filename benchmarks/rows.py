"""Rows of the page of results: a row is the command that leads to a checkpoint."""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BEST = "lightning_logs/version_0/checkpoints/best.ckpt"
SEEDS = (42, 43, 44)
SPLITS = ("lecture", "unique")

Command = tuple[str, ...]  # arguments after `python -m mm_lightning`; the options of data and seed are added to fit
Job = tuple[str, str, int]  # row, split and seed of a measurement
Figures = dict[str, Any]


def fit(config: str, *options: str) -> Command:
    """Train a recipe."""
    return ("fit", "--config", f"configs/{config}.yaml", *options)


@dataclass(frozen=True)
class Row:
    """A row.

    Args:
        model: Description for people.
        command: The command. A word `{NAME}` stands for the checkpoint of another row, of the same split and seed;
            `{NAME SEED}` for that of a certain seed, and then the row itself has one seed alone.
        published: Published dev loss, if there is one.
        result: Checkpoint of the command.
    """

    model: str
    command: Command
    published: str = ""
    result: str = BEST

    @property
    def needs(self) -> list[tuple[str, int | None]]:
        """Names of the rows whose checkpoints the command takes, and their seeds; None for the seed of this row."""
        found = [re.fullmatch(r"{(.*?)(?: (\d+))?}", word) for word in self.command]
        return [(match[1], int(match[2]) if match[2] else None) for match in found if match]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that the row is measured with."""
        return SEEDS if all(seed is None for _, seed in self.needs) else SEEDS[:1]

    def arguments(self, data: Path, split: str, seed: int, checkpoints: Iterable[Path]) -> list[str]:
        """The command on a data file, with absolute paths; `checkpoints` are those of the rows it needs, in order."""
        common = ["--data.path", str(data), "--data.split", split, "--seed_everything", str(seed)]
        common += ["--trainer.enable_progress_bar", "false"]
        paths = iter(checkpoints)
        placed = [
            str(next(paths)) if word.startswith("{") else str(ROOT / word) if word.startswith("configs/") else word
            for word in self.command
        ]
        return [*placed, *(common if self.command[0] == "fit" else [])]

    def shown(self) -> str:
        """The command as a user types it."""
        return f"$ uv run python -m mm_lightning {' '.join(self.command)}"


def recipe(name: str, model: str, published: str = "") -> dict[str, Row]:
    """A row of a recipe, under its name."""
    return {name: Row(model, fit(name), published)}


def mixed(name: str, model: str, *rows: str) -> dict[str, Row]:
    """A row of the mixture of other rows."""
    return {name: Row(model, ("mix", *(f"{{{row}}}" for row in rows)), result="mixture.ckpt")}


BF16 = ("--trainer.precision", "bf16-mixed")

ROWS: dict[str, Row] = {
    **recipe("bigram_counts", "bigram, counted, add-one smoothing", "2.4533"),
    **recipe("bigram", "bigram, one matrix", "2.46-2.48"),
    **recipe("ngram", "6-grams, counted, Kneser-Ney"),
    **recipe("mlp_2d_100", "MLP, context 3, 2-D, 100 hidden", "2.30"),
    **recipe("mlp_2d_300", "MLP, context 3, 2-D, 300 hidden", "2.24"),
    **recipe("mlp", "MLP, context 3, 10-D, 200 hidden", "2.170"),
    **recipe("mlp_context8", "MLP, context 8, 10-D, 200 hidden", "2.027"),
    **recipe("wavenet_22k", "WaveNet, context 8, 68 hidden", "2.022"),
    **recipe("wavenet_76k", "WaveNet, context 8, 128 hidden", "1.9937"),
    **recipe("bag_of_words", "bag of words"),
    **recipe("rnn", "RNN"),
    **recipe("gru", "GRU"),
    **recipe("lstm", "LSTM"),
    **recipe("transformer", "Transformer, 4 layers, 64 wide", "~1.92, other split"),
    "mlp_best": Row("MLP, context 10, two layers of 800", fit("mlp_best", *BF16)),
    "lstm_512": Row("LSTM, 512 units", fit("lstm_512", *BF16)),
    **mixed("two networks", "LSTM and counts, mixed", "lstm_512", "ngram"),
    **mixed("three networks", "LSTM, Transformer and counts, mixed", "lstm_512", "transformer", "ngram"),
    "lstm_student": Row(
        "LSTM, 512 units, student of the three networks",
        fit(
            "lstm_512",
            *("--teacher", "{three networks}", "--teacher_items", "400000", "--trainer.max_steps", "20000"),
            *("--model.network.weight_dropout", "0", "--model.network.dropout", "0.05"),
            *("--model.network.embed_dropout", "0", "--model.optimizer.weight_decay", "0.02"),
            *("--model.lr_scheduler.max_lr", "0.004", *BF16),
        ),
    ),
    "mlp_student": Row(
        "MLP, context 10, two layers of 800, student of the LSTM above",
        fit(
            "mlp_best",
            *("--teacher", "{lstm_student}", "--teacher_items", "300000"),
            *("--model.network.dropout", "0", "--model.network.embed_dropout", "0"),
            *("--model.optimizer.weight_decay", "0.01", *BF16),
        ),
    ),
    **mixed(
        "seven networks",
        "three of the LSTM, three of the Transformer, and counts, mixed",
        *(f"{name} {seed}" for name in ("lstm_512", "transformer") for seed in SEEDS),
        "ngram",
    ),
}


def jobs() -> list[Job]:
    """Every measurement, a row after those that it needs."""
    every = itertools.product(SPLITS, SEEDS, ROWS.items())
    return [(name, split, seed) for split, seed, (name, row) in every if seed in row.seeds]


def needs(job: Job) -> list[Job]:
    """The measurements whose checkpoints one takes."""
    name, split, own_seed = job
    return [(need, split, seed or own_seed) for need, seed in ROWS[name].needs]


def sources(job: Job) -> set[Job]:
    """All measurements that one is made from."""
    return set(needs(job)).union(*map(sources, needs(job)))
