"""The compare command: its options, and its work in order. `--help` needs no torch."""

import sys
from pathlib import Path

from jsonargparse import Namespace

from mm_lightning import UserError
from mm_lightning.commands.parts.parsing.parser import OneLineParser, command_parser
from mm_lightning.data.ranges import BatchLimit
from mm_lightning.files import check_writable
from mm_lightning.training.run_folders import find_run

_CLASSES = ("network", "optimizer", "lr_scheduler")  # that a checkpoint names


def add_runs(parser: OneLineParser) -> None:
    """Add the argument of a command that takes several runs."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="Run folder, its number in lightning_logs, a checkpoint, or last or best for that of the newest run.",
    )


def add_classes(parser: OneLineParser) -> None:
    """Add the options that name the user's own classes in checkpoints, whose code may then run."""
    for key in _CLASSES:
        parser.add_argument(
            f"--model.{key}",
            action="append",
            default=[],
            help="Class of your own in a checkpoint, such as my_net.MyNet; once for each.",
        )


def named_classes(config: Namespace) -> str:
    """The classes that the user names, as one text."""
    return " ".join(name for key in _CLASSES for name in config[f"model.{key}"])


def require_two(command: str, runs: list[str]) -> None:
    """Refuse a single run.

    Raises:
        UserError: Says so.
    """
    if len(runs) < 2:
        raise UserError(f"{command} needs two runs or more, and {runs[0]} is one; give another")


def make_parser() -> OneLineParser:
    """Make the parser of the command's options."""
    parser = command_parser("compare")
    add_runs(parser)
    parser.add_argument(
        "--test", type=bool, default=False, help="Look at the test split too; it is for the last look only."
    )
    parser.add_argument(
        "--num_samples", type=BatchLimit, default=10_000, help="Samples of each run for the quality; 0 for none."
    )
    parser.add_argument("--output", type=Path, default=Path("compare.png"), help="Picture of the curves of val/loss.")
    parser.add_argument("--data.path", type=str | None, help="Place of the data of all runs, if it has changed.")
    add_classes(parser)
    return parser


def main(args: list[str]) -> None:
    """Compare runs.

    Raises:
        UserError: If a run cannot be used or measured, or the picture cannot be written.
        SystemExit: 2 for arguments that cannot be parsed.
    """
    config = make_parser().parse_args(args)
    check_writable(config["output"], "output", ".png")
    require_two("compare", config["runs"])
    paths = [find_run(name) for name in config["runs"]]
    from mm_lightning.commands.parts.library_warnings import quiet  # noqa: PLC0415 # takes seconds, as the imports below
    from mm_lightning.compare.drawing import draw  # noqa: PLC0415
    from mm_lightning.compare.measuring import measure  # noqa: PLC0415
    from mm_lightning.compare.runs import group_runs, read_run  # noqa: PLC0415
    from mm_lightning.compare.text import MeasuredGroup, as_text  # noqa: PLC0415

    with quiet():
        runs = [read_run(path, named_classes(config)) for path in paths]
        groups = group_runs(runs)
        measured = []
        for group in groups:
            measures = []
            for run in group.runs:
                measures.append(measure(run, config["data.path"], config["num_samples"], config["test"]))
                sys.stderr.write(f"measured {run.name}\n")
            measured.append(MeasuredGroup(group, measures))
        print(as_text(measured, config["test"]))
        draw(measured, config["output"])
