"""Rows of the page of results: a row is the commands that lead to a checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RUN = "lightning_logs/version_{}"
BEST = "checkpoints/best.ckpt"
SEEDS = (42, 43, 44)
SPLITS = ("lecture", "unique")

Command = tuple[str, ...]  # arguments after `python -m mm_lightning`; the options of data and seed are added to fit


def fit(config: str, *options: str) -> Command:
    """Train a recipe."""
    return ("fit", "--config", f"configs/{config}.yaml", *options)


@dataclass(frozen=True)
class Row:
    """A row.

    Args:
        model: Description for people.
        commands: The commands, in the folder of the row's runs.
        published: Published dev loss, if there is one.
        result: Checkpoint of the last command.
    """

    model: str
    commands: tuple[Command, ...]
    published: str = ""
    result: str = f"{RUN.format(0)}/{BEST}"

    def steps(self, data: Path, split: str, seed: int) -> list[list[str]]:
        """The commands on a data file, with absolute paths of configs."""
        common = ["--data.path", str(data), "--data.split", split, "--seed_everything", str(seed)]
        common += ["--trainer.enable_progress_bar", "false"]
        placed = [
            [str(ROOT / word) if word.startswith("configs/") else word for word in line] for line in self.commands
        ]
        return [[*line, *(common if line[0] == "fit" else [])] for line in placed]

    def shown(self) -> str:
        """The commands as a user types them."""
        return "\n".join(f"$ uv run python -m mm_lightning {' '.join(command)}" for command in self.commands)


def recipe(name: str, model: str, published: str = "") -> dict[str, Row]:
    """A row of a single recipe, under its name."""
    return {name: Row(model, (fit(name),), published)}


def mixed(model: str, *configs: str) -> Row:
    """A row of the mixture of some recipes."""
    mix = ("mix", *(str(number) for number in range(len(configs))))
    return Row(model, (*map(fit, configs), mix), result="mixture.ckpt")


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
    **recipe("mlp_best", "MLP, context 8, two layers of 600"),
    **recipe("lstm_512", "LSTM, 512 units"),
    "lstm_512 + ngram": mixed("the LSTM and the counts, mixed", "lstm_512", "ngram"),
}


def jobs(only: list[str]) -> list[tuple[str, str, int]]:
    """Row, split and seed of every measurement."""
    names = only or list(ROWS)
    return [(name, split, seed) for seed in SEEDS for split in SPLITS for name in names]


Figures = dict[str, Any]
